"""A label CSV to ids and targets."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.labels import shapes
from data_prep.labels.csv_table import CsvTable, find_image_column, read_csv, require_column
from data_prep.labels.problems import Problem
from orchard.errors import OrchardError
from orchard.formats import Task


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
    task: Task
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
        shape = shapes.detect_shape(table, columns)
    if shape == "columns":
        names, targets, task, problems = shapes.from_columns(
            table, columns, image_column, options.class_names, options.task
        )
    else:
        if len(columns) != 1:
            raise OrchardError(
                f"{table.file}: --label_shape={shape} needs one label column, there are "
                f"{len(columns)} ({', '.join(columns)}); pass --label_columns=NAME"
            )
        names, targets, task, problems = shapes.from_names(
            table, columns[0], shape, image_column, options.class_names, options.task
        )
    groups = tuple(table.column(options.group_column)) if options.group_column else None
    return _finish(table, image_column, targets, names, task, shape, ignored, groups, problems)


def read_ids(
    path: str, image_column: str | None, class_names: Sequence[str], task: Task
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


def _finish(
    table: CsvTable,
    image_column: str,
    targets: np.ndarray,
    names: tuple[str, ...],
    task: Task,
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
