"""The three shapes of labels in a CSV: which one a CSV has, and the targets it gives.

The shapes (detected, or forced with `label_shape`):
  columns  one column per class, values 0/1 or soft 0..1 (`image_id,healthy,rust,scab`)
  name     one column with the name of the one class of each image (`image_id,label`)
  names    one column with the names of all classes of each image, separated by spaces or
           `label_delimiter`, or written as a list (`image,labels`)
"""

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.labels.csv_table import CsvTable
from data_prep.labels.given_splits import SPLIT_NAME
from data_prep.labels.problems import Problem
from orchard.errors import OrchardError
from orchard.formats import Targets, Task

# Values may be rounded to two decimals each; of many classes such errors cancel.
_SUM_TOLERANCE, _SUM_TOLERANCE_PER_CLASS, _MAX_SUM_TOLERANCE = 1e-3, 0.005, 0.05
# Above this share of rows whose 0/1 values do not sum to 1, several labels a row are meant; below
# it (and above none) the rows are taken for mistakes.
_MULTI_LABEL_SHARE = 0.05
# Of values that are all rounded to one decimal.
_SUM_TOLERANCE_PER_TENTH, _MAX_SUM_TOLERANCE_OF_TENTHS = 0.05, 0.35
# Between labels these marks are usual, and rare in the name of one class; the others are not rare.
_USUAL_MARKS, _RARE_MARKS = "|;,", "/+&"
# A list as Python, NumPy, JSON or YAML write it, and one quoted text in it.
_LIST = re.compile(r"\[(.*)\]|\((.*)\)|\{(.*)\}", re.DOTALL)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
# Above this share of rows with other whole numbers than 0 and 1 a column is no class.
_OTHER_NUMBERS_SHARE = 0.2
# Fewer rows of one value may lie together by chance.
_MIN_ROWS_TOGETHER = 10


@dataclass(frozen=True)
class Labels:
    """What the label columns say, and the bad rows."""

    class_names: tuple[str, ...]
    targets: Targets
    task: Task
    problems: list[Problem]


def _number(text: str) -> float | None:
    """The value of a cell; True and False are those of pandas' get_dummies."""
    truth = {"true": 1.0, "false": 0.0}.get(text.lower())
    if truth is not None:
        return truth
    try:
        return float(text)
    except ValueError:
        return None


def detect_shape(table: CsvTable, columns: list[str]) -> str:
    """`columns`, `name` or `names`: what the cells of the label columns look like.

    Raises:
        OrchardError: they look like none, or like two.
    """
    if len(columns) > 1:
        # One bad cell must not hide the shape: a column is numeric when most of its cells are.
        for name in columns:
            values = table.column(name)
            no_numbers = [value for value in values if _number(value) is None]
            if len(no_numbers) * 2 > len(values):
                raise OrchardError(
                    f"{table.file}: columns {', '.join(columns)} are no 0..1 values per class "
                    f"(column {name!r} holds {no_numbers[0]!r}); name the label column with "
                    "--label_columns"
                )
        return "columns"
    column = columns[0]
    cells = dict.fromkeys(table.column(column))
    lists = _lists(cells)
    if lists is not None:
        return "name" if all(len(labels) == 1 for labels in lists.values()) else "names"
    _refuse_joined(table, column, cells)
    several = [cell for cell in cells if len(cell.split()) > 1]
    if not several:
        return "name"
    alone = {cell for cell in cells if len(cell.split()) == 1}
    tokens = {token for cell in several for token in cell.split()}
    if tokens <= alone:
        return "names"
    # Names have words of their own ("tabby cat", "great dane"); several labels a row are the same
    # few words again and again, even where none of them ever stands alone.
    if not tokens & alone and len(tokens) > len(several):
        return "name"
    raise OrchardError(
        f"{table.file}: {several[0]!r} in column {column!r} may be one class with a space in "
        "its name, or several classes; pass --label_shape=name or --label_shape=names"
    )


def _refuse_joined(table: CsvTable, column: str, cells: Collection[str]) -> None:
    """Ask where cells look like several labels with a mark between them."""
    for mark in _USUAL_MARKS + _RARE_MARKS:
        joined = [cell for cell in cells if mark in cell]
        parts = [_split(cell, mark) for cell in joined]
        uses = Counter(part for labels in parts for part in set(labels))
        known = [part in cells or uses[part] > 1 for part in uses]
        if known and (any(known) if mark in _USUAL_MARKS else all(known)):
            raise OrchardError(
                f"{table.file}: {joined[0]!r} in column {column!r} may be several classes with "
                f"{mark!r} between them, or one class; pass --label_delimiter='{mark}' or "
                "--label_shape=name"
            )


def _split(cell: str, mark: str) -> list[str]:
    """The labels in a cell, each once; a mark of spaces is any white space."""
    parts = cell.split(mark) if mark.strip() else cell.split()
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _lists(cells: Iterable[str]) -> dict[str, list[str]] | None:
    """The labels of each cell, where all that are not empty are lists; else None."""
    lists = {cell: _list(cell) for cell in cells if cell}
    found = {cell: labels for cell, labels in lists.items() if labels is not None}
    return found if found and len(found) == len(lists) else None


def _list(cell: str) -> list[str] | None:
    """The labels in the text of a list, such as `['cat', 'dog']` or `[3, 7]`; None: it is none."""
    match = _LIST.fullmatch(cell)
    if match is None:
        return None
    body = next(group for group in match.groups() if group is not None).strip()
    quoted = _QUOTED.findall(body)
    if not quoted:
        # Parentheses and braces may be part of a name, unless a comma or a quote is in them.
        if not cell.startswith("[") or re.search(r"['\"\[\]]", body):
            return None
        return _split(body, ",")
    # NumPy puts no comma between two texts.
    if _QUOTED.sub("", body).replace(",", "").strip():
        return None
    try:
        labels = [str(ast.literal_eval(text)).strip() for text in quoted]
    except (ValueError, SyntaxError):
        return None
    return list(dict.fromkeys(label for label in labels if label))


def _refuse_other_columns(
    table: CsvTable, columns: Sequence[str], targets: np.ndarray, off: np.ndarray, single: bool
) -> None:
    """Ask where one of the label columns, which nobody named, looks like no class.

    Args:
        table: the CSV.
        columns: all of the label columns.
        targets: of the usable rows, in the order of `columns`.
        off: which of these rows do not sum to 1.
        single: whether the task is one label an image all the same.
    """
    splits = [name for name in columns if SPLIT_NAME.fullmatch(name)]

    def ask(name: str, why: str) -> OrchardError:
        rest = ",".join(other for other in columns if other not in (name, *splits))
        advice = f"pass --label_columns={rest}, or" if rest else "pass"
        if name in splits:
            advice = f"pass --split_column={name}, or --label_columns={rest} to ignore it, or"
        every = ",".join(columns)
        return OrchardError(
            f"{table.file}: the column {name!r} {why}; {advice}, if it is a class, "
            f"--label_columns={every}"
            + ("" if name in splits else f" (--split_column={name} if it says the row's split)")
        )

    if splits:
        raise ask(splits[0], "looks by its name like the split of each row, and not like a class")
    for name in columns:
        numbers = [_number(text) for text in table.column(name)]
        others = [one for one in numbers if one not in (None, 0, 1) and float(one).is_integer()]
        if len(others) > max(1, _OTHER_NUMBERS_SHARE * len(numbers)):
            rest = ",".join(other for other in columns if other != name)
            raise OrchardError(
                f"{table.file}: the column {name!r} holds numbers such as {others[0]:g}, and not 0 "
                f"or 1 for a class; pass --label_columns={name} if it is the class's number, "
                f"--label_columns={rest} if it is no label, or --split_column={name} if it is the "
                "row's fold"
            )
    if single or len(columns) < 2:
        return
    tolerance = _tolerance(len(columns))
    if len(columns) > 2:
        sums = targets.sum(1, dtype=np.float64)
        for position, name in enumerate(columns):
            without = np.abs(sums - targets[:, position] - 1) > tolerance
            if without.sum() <= min(_MULTI_LABEL_SHARE * len(targets), off.sum() // 2):
                raise ask(name, "alone makes the task many labels an image: others sum to 1")
    together = [
        name for position, name in enumerate(columns) if _is_in_two_blocks(targets[:, position])
    ]
    if len(together) == 1:
        raise ask(together[0], "has all rows of one value together, as a split has")


def _is_in_two_blocks(values: np.ndarray) -> bool:
    """Whether 0/1 values change once only, with many rows on both sides."""
    ones = int((values == 1).sum())
    return (
        bool(np.isin(values, (0, 1)).all())
        and min(ones, len(values) - ones) >= _MIN_ROWS_TOGETHER
        and int((np.diff(values) != 0).sum()) == 1
    )


def _tolerance(num_classes: int) -> float:
    return min(_SUM_TOLERANCE + _SUM_TOLERANCE_PER_CLASS * num_classes, _MAX_SUM_TOLERANCE)


def _tolerance_of_tenths(targets: np.ndarray) -> float:
    """How far the sums of soft labels of one decimal may be off; 0: they are no such labels."""
    tenths = targets.astype(np.float64) * 10
    soft = (targets > 0) & (targets < 1)
    if not soft.any() or np.abs(tenths - np.round(tenths)).max() > 1e-4:
        return 0.0
    # Rounding moves no value that is 0 or 1 for certain, but the count of the others bounds it.
    return min(
        _SUM_TOLERANCE + _SUM_TOLERANCE_PER_TENTH * targets.shape[1], _MAX_SUM_TOLERANCE_OF_TENTHS
    )


def from_columns(
    table: CsvTable,
    columns: Sequence[str],
    ids: Sequence[str],
    class_names: tuple[str, ...],
    task: str,
    ask: bool = False,
) -> Labels:
    """The labels of shape `columns`.

    Args:
        table: the CSV.
        columns: those of the classes.
        ids: the rows' ids.
        class_names: the order of the classes; empty: that of the columns.
        task: a `Task`, or `auto`: find out.
        ask: whether nobody named the columns, so that what looks like no class is asked about.

    Raises:
        OrchardError: `class_names` are other ones than `columns`, or columns or task are in doubt.
    """
    if class_names and set(class_names) != set(columns):
        raise OrchardError(
            f"{table.file}: the label columns are {', '.join(columns)}, --class_names says "
            f"{', '.join(class_names)}"
        )
    names = class_names or tuple(columns)
    targets, problems = _read_values(table, names, ids)
    bad = {problem.row for problem in problems}
    good = np.array([number not in bad for number in table.row_numbers])
    sums = _Sums.of(targets, good)
    if ask and not class_names:
        single = task != "auto" or not sums.are_several
        _refuse_other_columns(table, names, targets[good], sums.off[good], single)
    wrong = sums.far
    if task == "auto":
        if sums.are_doubtful:
            first = int(np.flatnonzero(sums.off)[0])
            raise OrchardError(
                f"{table.file}: the labels are rounded to one decimal and sum to about 1, such as "
                f"{targets[first].sum(dtype=np.float64):g} in row {table.row_numbers[first]}; pass "
                "--task=single_label or --task=multi_label"
            )
        task, wrong = Task.MULTI_LABEL if sums.are_several else Task.SINGLE_LABEL, sums.off
    if task == Task.SINGLE_LABEL:
        for row in np.flatnonzero(wrong).tolist():
            detail = (
                f"the labels sum to {targets[row].sum():g}, not to 1 (if an image may have "
                "several classes or none, pass --task=multi_label)"
            )
            problems.append(
                Problem(
                    table.file, table.row_numbers[row], ids[row], "labels do not sum to 1", detail
                )
            )
    return Labels(names, Targets.of_matrix(targets), Task(task), problems)


def _read_values(
    table: CsvTable, names: Sequence[str], ids: Sequence[str]
) -> tuple[np.ndarray, list[Problem]]:
    """The cells of these columns, float32 [n, names], and those that are no number from 0 to 1."""
    problems = []
    values = np.zeros((len(table.rows), len(names)), np.float32)
    for column, name in enumerate(names):
        for row, text in enumerate(table.column(name)):
            value = _number(text)
            if value is None or not 0 <= value <= 1:
                detail = f"{text!r} in column {name!r} is not a number from 0 to 1"
                problems.append(
                    Problem(table.file, table.row_numbers[row], ids[row], "bad label value", detail)
                )
                value = 0.0
            values[row, column] = value
    return values, problems


@dataclass(frozen=True)
class _Sums:
    """Which rows' labels do not sum to 1, among the good rows.

    Attributes:
        off: by more than rounding to two decimals explains, bool [n].
        far: the same; where all values are soft labels of one decimal, by more than that explains.
        of_tenths: whether they are.
        num_good: how many good rows there are.
    """

    off: np.ndarray
    far: np.ndarray
    of_tenths: bool
    num_good: int

    @classmethod
    def of(cls, targets: np.ndarray, good: np.ndarray) -> "_Sums":
        """Of targets float32 [n, num_classes] and the good ones of their rows, bool [n]."""
        errors = np.abs(targets.sum(1, dtype=np.float64) - 1)
        hundredths = _tolerance(targets.shape[1])
        tenths = _tolerance_of_tenths(targets[good]) if good.any() else 0.0
        return cls(
            off=good & (errors > hundredths),
            far=good & (errors > max(tenths, hundredths)),
            of_tenths=tenths > 0,
            num_good=int(good.sum()),
        )

    @property
    def are_several(self) -> bool:
        """Whether so many rows are off that several labels a row are meant."""
        return bool(self.off.sum() > _MULTI_LABEL_SHARE * self.num_good)

    @property
    def are_doubtful(self) -> bool:
        """Whether several labels a row are meant, or one whose values are rounded to tenths."""
        few_far = self.far.sum() <= _MULTI_LABEL_SHARE * self.num_good
        return self.are_several and self.of_tenths and bool(few_far)


def from_names(
    table: CsvTable,
    column: str,
    shape: str,
    ids: Sequence[str],
    class_names: tuple[str, ...],
    delimiter: str = "",
) -> Labels:
    """The labels of shape `name` or `names`.

    Args:
        table: the CSV.
        column: the one of the labels.
        shape: `name` or `names`.
        ids: the rows' ids.
        class_names: all classes in their order; empty: those found, sorted.
        delimiter: what is between names; empty: white space.

    Raises:
        OrchardError: names are separated by something else.
    """
    cells = table.column(column)
    # Cells repeat: each distinct one is taken apart once.
    distinct = dict.fromkeys(cells)
    lists = _lists(distinct)
    if shape == "names" and not delimiter and lists is None:
        _refuse_marks(table, column, distinct)
    if lists is not None:
        if delimiter:
            raise OrchardError(
                f"{table.file}: column {column!r} holds lists, such as {next(iter(lists))!r}; "
                "leave out --label_delimiter"
            )
        _refuse_vectors(table, column, lists)
        labels = {cell: lists.get(cell, []) for cell in distinct}
    elif shape == "names":
        labels = {cell: _split(cell, delimiter or " ") for cell in distinct}
    else:
        labels = {cell: [cell] if cell else [] for cell in distinct}
    found = {label for those in labels.values() for label in those}
    names = class_names or tuple(sorted(found, key=_natural))
    index = {name: position for position, name in enumerate(names)}
    wrong: dict[int, tuple[str, str]] = {}
    classes: list[list[int]] = [[] for _ in labels]
    for at, (cell, those) in enumerate(labels.items()):
        unknown = [label for label in those if label not in index]
        if shape == "name" and len(those) > 1:
            wrong[at] = "several labels", f"{cell!r} names several classes"
        elif not those and (shape == "name" or not cell):
            wrong[at] = "no label", f"column {column!r} is empty"
        elif unknown:
            wrong[at] = "unknown label", f"{unknown[0]!r} is not among --class_names"
        else:
            classes[at] = [index[label] for label in those]
    numbers = {cell: at for at, cell in enumerate(labels)}
    cell_of_row = np.fromiter(map(numbers.__getitem__, cells), np.int64, len(cells))
    problems = [
        Problem(table.file, table.row_numbers[row], ids[row], *wrong[int(cell_of_row[row])])
        for row in np.flatnonzero(np.isin(cell_of_row, list(wrong))).tolist()
    ]
    task = task_of_shape(shape)
    targets = Targets.of_present(*_present(cell_of_row, classes), len(cells), len(names), task)
    return Labels(names, targets, task, problems)


def _present(
    cell_of_row: np.ndarray, classes: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """(row, class) of each label, int64 [labels] each, in the order of the rows.

    Args:
        cell_of_row: int64 [rows], which cell each row has.
        classes: the classes that each cell names.
    """
    sizes = np.array([len(those) for those in classes])
    flat = np.array([one for those in classes for one in those], np.int64)
    starts, counts = (np.cumsum(sizes) - sizes)[cell_of_row], sizes[cell_of_row]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.repeat(np.arange(len(cell_of_row)), counts)
    return rows, flat[np.repeat(starts, counts) + within]


def _refuse_marks(table: CsvTable, column: str, cells: Iterable[str]) -> None:
    """Ask where a word of a cell begins or ends with a mark: spaces are not all between labels."""
    for cell in cells:
        for word in cell.split():
            mark = next((mark for mark in _USUAL_MARKS if mark in (word[0], word[-1])), None)
            if mark or "|" in word or ";" in word:
                mark = mark or ("|" if "|" in word else ";")
                raise OrchardError(
                    f"{table.file}: {cell!r} in column {column!r} has {mark!r} between names; pass "
                    f"--label_delimiter='{mark}', or --label_delimiter=' ' if spaces are"
                )


def _refuse_vectors(table: CsvTable, column: str, lists: dict[str, list[str]]) -> None:
    """Lists of 0 and 1 are values of the classes, and name none."""
    if len(lists) > 1 and all(set(labels) <= {"0", "1"} for labels in lists.values()):
        cell = next(iter(lists))
        if cell.count(",") > 1 or len(cell.split()) > 2:
            raise OrchardError(
                f"{table.file}: {cell!r} in column {column!r} looks like one value a class; put "
                "each into a column of its own"
            )


def task_of_shape(shape: str) -> Task:
    """What labels of shape `name` or `names` mean."""
    return Task.SINGLE_LABEL if shape == "name" else Task.MULTI_LABEL


def _natural(name: str) -> tuple[int, int, str, str]:
    """Sort key: whole numbers by value (2 before 10), then everything else by its characters."""
    if not (name.isascii() and name.isdigit()):
        return 1, 0, "", name
    digits = name.lstrip("0")
    return 0, len(digits), digits, name
