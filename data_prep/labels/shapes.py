"""The three shapes of labels in a CSV: which one a CSV has, and the targets it gives.

The shapes (detected, or forced with `label_shape`):
  columns  one column per class, values 0/1 or soft 0..1 (`image_id,healthy,rust,scab`)
  name     one column with the name of the one class of each image (`image_id,label`)
  names    one column with the space-separated names of all classes of each image (`image,labels`)
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.labels.csv_table import CsvTable
from data_prep.labels.problems import Problem
from orchard.errors import OrchardError
from orchard.formats import Task

# Values may be rounded to two decimals each; of many classes such errors cancel.
_SUM_TOLERANCE, _SUM_TOLERANCE_PER_CLASS, _MAX_SUM_TOLERANCE = 1e-3, 0.005, 0.05
# Above this share of rows whose 0/1 values do not sum to 1, several labels a row are meant; below
# it (and above none) the rows are taken for mistakes.
_MULTI_LABEL_SHARE = 0.05


@dataclass(frozen=True)
class Labels:
    """What the label columns say: targets float32 [n, num_classes], and the bad rows."""

    class_names: tuple[str, ...]
    targets: np.ndarray
    task: Task
    problems: list[Problem]


def _number(text: str) -> float | None:
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
    cells = dict.fromkeys(table.column(columns[0]))
    _refuse_other_separators(table, columns[0], cells)
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
        f"{table.file}: {several[0]!r} in column {columns[0]!r} may be one class with a space in "
        "its name, or several classes; pass --label_shape=name or --label_shape=names"
    )


def _refuse_other_separators(table: CsvTable, column: str, values: Collection[str]) -> None:
    for mark in "|;,":
        joined = [value for value in values if mark in value]
        parts = {part.strip() for value in joined for part in value.split(mark)}
        if joined and all(part in values for part in parts):
            raise OrchardError(
                f"{table.file}: {joined[0]!r} in column {column!r} looks like several classes "
                f"with {mark!r} between them; put spaces there, and none into a name (or pass "
                "--label_shape=name if it is one class)"
            )


def from_columns(
    table: CsvTable,
    columns: Sequence[str],
    ids: Sequence[str],
    class_names: tuple[str, ...],
    task: str,
) -> Labels:
    """The labels of shape `columns`.

    Args:
        table: the CSV.
        columns: those of the classes.
        ids: the rows' ids.
        class_names: the order of the classes; empty: that of the columns.
        task: a `Task`, or `auto`: find out.

    Raises:
        OrchardError: `class_names` are other ones than `columns`.
    """
    if class_names and set(class_names) != set(columns):
        raise OrchardError(
            f"{table.file}: the label columns are {', '.join(columns)}, --class_names says "
            f"{', '.join(class_names)}"
        )
    names = class_names or tuple(columns)
    problems = []
    targets = np.zeros((len(table.rows), len(names)), np.float32)
    for column, name in enumerate(names):
        for row, text in enumerate(table.column(name)):
            value = _number(text)
            if value is None or not 0 <= value <= 1:
                detail = f"{text!r} in column {name!r} is not a number from 0 to 1"
                problems.append(
                    Problem(table.file, table.row_numbers[row], ids[row], "bad label value", detail)
                )
                value = 0.0
            targets[row, column] = value
    bad = {problem.row for problem in problems}
    good = np.array([number not in bad for number in table.row_numbers])
    tolerance = min(_SUM_TOLERANCE + _SUM_TOLERANCE_PER_CLASS * len(names), _MAX_SUM_TOLERANCE)
    off = good & (np.abs(targets.sum(1, dtype=np.float64) - 1) > tolerance)
    if task == "auto":
        several = off.sum() > _MULTI_LABEL_SHARE * good.sum()
        task = Task.MULTI_LABEL if several else Task.SINGLE_LABEL
    if task == Task.SINGLE_LABEL:
        for row in np.flatnonzero(off).tolist():
            detail = (
                f"the labels sum to {targets[row].sum():g}, not to 1 (if an image may have "
                "several classes or none, pass --task=multi_label)"
            )
            problems.append(
                Problem(
                    table.file, table.row_numbers[row], ids[row], "labels do not sum to 1", detail
                )
            )
    return Labels(names, targets, Task(task), problems)


def from_names(
    table: CsvTable,
    column: str,
    shape: str,
    ids: Sequence[str],
    class_names: tuple[str, ...],
) -> Labels:
    """The labels of shape `name` or `names`.

    Args:
        table: the CSV.
        column: the one of the labels.
        shape: `name` or `names`.
        ids: the rows' ids.
        class_names: all classes in their order; empty: those found, sorted.
    """
    cells = table.column(column)
    labels = [cell.split() if shape == "names" else [cell] if cell else [] for cell in cells]
    found = {label for row in labels for label in row}
    names = class_names or tuple(sorted(found, key=_natural))
    index = {name: position for position, name in enumerate(names)}
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
    return Labels(names, targets, task_of_shape(shape), problems)


def task_of_shape(shape: str) -> Task:
    """What labels of shape `name` or `names` mean."""
    return Task.SINGLE_LABEL if shape == "name" else Task.MULTI_LABEL


def _natural(name: str) -> tuple[int, int, str, str]:
    """Sort key: whole numbers by value (2 before 10), then everything else by its characters."""
    if not (name.isascii() and name.isdigit()):
        return 1, 0, "", name
    digits = name.lstrip("0")
    return 0, len(digits), digits, name
