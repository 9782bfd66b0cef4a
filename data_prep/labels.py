"""A label CSV, in any of three shapes, to ids and targets.

The shapes (detected, or forced with `label_shape`):
  columns  one column per class, values 0/1 or soft 0..1 (`image_id,healthy,rust,scab`)
  name     one column with the name of the one class of each image (`image_id,label`)
  names    one column with the space-separated names of all classes of each image (`image,labels`)
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.csv_table import CsvTable, find_image_column, read_csv, require_column
from data_prep.errors import OrchardError
from data_prep.problems import Problem

# Values may be rounded to two decimals each; of many classes such errors cancel.
_SUM_TOLERANCE, _SUM_TOLERANCE_PER_CLASS, _MAX_SUM_TOLERANCE = 1e-3, 0.005, 0.05
# Above this share of rows whose 0/1 values do not sum to 1, several labels a row are meant; below
# it (and above none) the rows are taken for mistakes.
_MULTI_LABEL_SHARE = 0.05


@dataclass(frozen=True)
class LabelOptions:
    """How to read a label CSV; None, `auto` and empty mean: find out."""

    image_column: str | None = None
    label_columns: tuple[str, ...] = ()
    label_shape: str = "auto"
    task: str = "auto"
    class_names: tuple[str, ...] = ()
    group_column: str | None = None


@dataclass(frozen=True)
class LabelTable:
    """The rows of a CSV.

    ids: trimmed; csv_rows: int64 [n], the header is row 1; targets: float32 [n, num_classes],
    one-hot, multi-hot or soft 0..1, or -1 everywhere when the CSV gives ids only; groups: the
    value of the group column, or None. Rows named in `problems` are still in the table; drop them
    before use.
    """

    file: str
    ids: tuple[str, ...]
    csv_rows: np.ndarray
    targets: np.ndarray
    class_names: tuple[str, ...]
    task: str
    shape: str
    image_column: str
    ignored_columns: tuple[str, ...]
    groups: tuple[str, ...] | None
    problems: tuple[Problem, ...]
    sha256: str

    @property
    def labelled(self) -> bool:
        """Whether the rows carry targets."""
        return self.shape != "ids"


def read_labels(path: str, options: LabelOptions) -> LabelTable:
    """Read a CSV of ids and labels.

    Raises:
      OrchardError: the file is missing or no CSV, a column is missing, or its shape is ambiguous.
        What is wrong with single rows is in the table's `problems` instead.
    """
    table = read_csv(path)
    image_column = find_image_column(table, options.image_column)
    if options.group_column:
        require_column(table, options.group_column, "--group_column")
    columns, ignored = _label_columns(table, options, image_column)
    shape = options.label_shape
    if shape == "auto":
        shape = _detect_shape(table, columns)
    if shape == "columns":
        names, targets, task, problems = _from_columns(table, columns, options, image_column)
    else:
        if len(columns) != 1:
            raise OrchardError(
                f"{table.file}: --label_shape={shape} needs one label column, there are "
                f"{len(columns)} ({', '.join(columns)}); pass --label_columns=NAME"
            )
        names, targets, task, problems = _from_names(
            table, columns[0], shape, options, image_column
        )
    groups = tuple(table.column(options.group_column)) if options.group_column else None
    return _finish(table, image_column, targets, names, task, shape, ignored, groups, problems)


def read_ids(
    path: str, image_column: str | None, class_names: Sequence[str], task: str
) -> LabelTable:
    """Read a CSV of which only the ids count: the test rows of a competition.

    Further columns (a sample submission has made-up probabilities) are ignored and listed.
    """
    table = read_csv(path)
    if image_column is not None and image_column not in table.header:
        image_column = None
    column = find_image_column(table, image_column)
    targets = np.full((len(table.rows), len(class_names)), -1, np.float32)
    ignored = tuple(name for name in table.header if name != column)
    return _finish(table, column, targets, tuple(class_names), task, "ids", ignored, None, [])


def _label_columns(
    table: CsvTable, options: LabelOptions, image_column: str
) -> tuple[list[str], tuple[str, ...]]:
    rest = [name for name in table.header if name not in (image_column, options.group_column)]
    for name in options.label_columns:
        require_column(table, name, "--label_columns")
    if options.label_columns:
        chosen = list(options.label_columns)
        return chosen, tuple(name for name in rest if name not in chosen)
    if not rest:
        raise OrchardError(
            f"{table.file} has no label column beside {image_column!r}; a CSV of ids only goes to "
            f"--test_csv"
        )
    return rest, ()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _detect_shape(table: CsvTable, columns: list[str]) -> str:
    if len(columns) > 1:
        # One bad cell must not hide the shape: a column is numeric when most of its cells are.
        for name in columns:
            values = table.column(name)
            odd = [value for value in values if _number(value) is None]
            if len(odd) * 2 > len(values):
                raise OrchardError(
                    f"{table.file}: columns {', '.join(columns)} are no 0..1 values per class "
                    f"(column {name!r} holds {odd[0]!r}); name the label column with "
                    "--label_columns"
                )
        return "columns"
    values = set(table.column(columns[0]))
    several = [value for value in values if len(value.split()) > 1]
    if not several:
        return "name"
    alone = {value for value in values if len(value.split()) == 1}
    tokens = {token for value in several for token in value.split()}
    if tokens <= alone:
        return "names"
    if not tokens & alone:
        return "name"
    raise OrchardError(
        f"{table.file}: {several[0]!r} in column {columns[0]!r} may be one class with a space in "
        f"its name, "
        "or several classes; pass --label_shape=name or --label_shape=names"
    )


def _from_columns(
    table: CsvTable, columns: list[str], options: LabelOptions, image_column: str
) -> tuple[tuple[str, ...], np.ndarray, str, list[Problem]]:
    if options.class_names and set(options.class_names) != set(columns):
        raise OrchardError(
            f"{table.file}: the label columns are {', '.join(columns)}, --class_names says "
            f"{', '.join(options.class_names)}"
        )
    names = options.class_names or tuple(columns)
    ids = table.column(image_column)
    problems = []
    targets = np.zeros((len(table.rows), len(names)), np.float32)
    for at, name in enumerate(names):
        for row, text in enumerate(table.column(name)):
            value = _number(text)
            if value is None or not 0 <= value <= 1:
                detail = f"{text!r} in column {name!r} is not a number from 0 to 1"
                problems.append(
                    Problem(table.file, table.row_numbers[row], ids[row], "bad label value", detail)
                )
                value = 0.0
            targets[row, at] = value
    bad = {problem.row for problem in problems}
    good = np.array([number not in bad for number in table.row_numbers])
    tolerance = min(_SUM_TOLERANCE + _SUM_TOLERANCE_PER_CLASS * len(names), _MAX_SUM_TOLERANCE)
    off = good & (np.abs(targets.sum(1, dtype=np.float64) - 1) > tolerance)
    task = options.task
    if task == "auto":
        task = "multi_label" if off.sum() > _MULTI_LABEL_SHARE * good.sum() else "single_label"
    if task == "single_label":
        for row in np.flatnonzero(off):
            detail = (
                f"the labels sum to {targets[row].sum():g}, not to 1 (if an image may have "
                "several classes or none, pass --task=multi_label)"
            )
            problems.append(
                Problem(
                    table.file, table.row_numbers[row], ids[row], "labels do not sum to 1", detail
                )
            )
    return names, targets, task, problems


def _from_names(
    table: CsvTable, column: str, shape: str, options: LabelOptions, image_column: str
) -> tuple[tuple[str, ...], np.ndarray, str, list[Problem]]:
    task = "single_label" if shape == "name" else "multi_label"
    if options.task not in ("auto", task):
        raise OrchardError(
            f"{table.file}: --task={options.task} does not go with labels of shape {shape!r}; "
            "pass --label_shape"
        )
    values = table.column(column)
    labels = [value.split() if shape == "names" else [value] if value else [] for value in values]
    found = {label for row in labels for label in row}
    names = options.class_names or tuple(sorted(found, key=_natural))
    index = {name: at for at, name in enumerate(names)}
    ids = table.column(image_column)
    problems = []
    present: list[tuple[int, int]] = []
    for row, row_labels in enumerate(labels):
        unknown = [label for label in row_labels if label not in index]
        if not row_labels:
            kind, detail = "no label", f"column {column!r} is empty"
        elif unknown:
            kind, detail = "unknown label", f"{unknown[0]!r} is not among --class_names"
        else:
            present += [(row, index[label]) for label in row_labels]
            continue
        problems.append(Problem(table.file, table.row_numbers[row], ids[row], kind, detail))
    targets = np.zeros((len(labels), len(names)), np.float32)
    if present:
        targets[tuple(np.transpose(present))] = 1
    return names, targets, task, problems


def _natural(name: str) -> tuple[int, int, str, str]:
    """Sort key: whole numbers by value (2 before 10), then everything else by its characters."""
    if not (name.isascii() and name.isdigit()):
        return 1, 0, "", name
    digits = name.lstrip("0")
    return 0, len(digits), digits, name


def _finish(
    table: CsvTable,
    image_column: str,
    targets: np.ndarray,
    names: tuple[str, ...],
    task: str,
    shape: str,
    ignored: tuple[str, ...],
    groups: tuple[str, ...] | None,
    problems: list[Problem],
) -> LabelTable:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise OrchardError(
            f"{table.file}: the class {twice[0]!r} is named twice; name each once in "
            "--label_columns or --class_names"
        )
    for name in names:
        if not name or "\n" in name or "\r" in name:
            raise OrchardError(
                f"{table.file}: {name!r} cannot be a class name: empty or with a line break"
            )
    ids = tuple(table.column(image_column))
    problems = table.problems + problems + _id_problems(table, ids)
    return LabelTable(
        file=table.file,
        ids=ids,
        csv_rows=np.asarray(table.row_numbers, np.int64),
        targets=targets,
        class_names=names,
        task=task,
        shape=shape,
        image_column=image_column,
        ignored_columns=ignored,
        groups=groups,
        problems=tuple(sorted(problems, key=lambda problem: problem.row)),
        sha256=table.sha256,
    )


def _id_problems(table: CsvTable, ids: tuple[str, ...]) -> list[Problem]:
    problems = []
    first: dict[str, int] = {}
    for number, image_id in zip(table.row_numbers, ids, strict=True):
        if not image_id:
            problems.append(Problem(table.file, number, image_id, "empty id", "the id is empty"))
        elif image_id in first:
            detail = f"the same id is in row {first[image_id]}"
            problems.append(Problem(table.file, number, image_id, "duplicate id", detail))
        else:
            first[image_id] = number
    return problems
