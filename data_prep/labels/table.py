"""Turns a label CSV into ids and targets."""

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.labels import shapes
from data_prep.labels.csv_table import CsvTable, find_image_column, require_column
from data_prep.labels.given_splits import read_splits
from data_prep.labels.other_tables import read_table
from data_prep.labels.problems import Problem
from data_prep.labels.times import RowTimes, read_times
from orchard.errors import OrchardError
from orchard.formats import SplitKind, Targets, Task


@dataclass(frozen=True)
class LabelOptions:
    """How to read a label CSV; None, `auto` and empty mean: find out."""

    image_column: str | None = None
    label_columns: tuple[str, ...] = ()
    label_shape: str = "auto"
    label_delimiter: str = ""
    task: str = "auto"
    class_names: tuple[str, ...] = ()
    group_column: str | None = None
    split_column: str | None = None
    time_column: str | None = None


@dataclass(frozen=True)
class AppliedFixes:
    """What `--label_fixes` did: the file's SHA-256 (hex), labels changed, rows left out."""

    sha256: str
    changed: int
    dropped: int


@dataclass(frozen=True)
class LabelTable:
    """The rows of a CSV, also those that are named in `problems`: drop these before use.

    Attributes:
        file: what messages call the CSV.
        ids: trimmed.
        csv_rows: int64 [n]; the header is row 1.
        targets: what the labels say; without labels when the CSV gives ids only.
        class_names: in the order of the targets.
        task: what the targets mean.
        shape: `columns`, `name`, `names`, or `ids` when there are no labels.
        image_column: the column of the ids.
        ignored_columns: columns that are neither ids, labels nor groups.
        groups: the cells of the group column, or None.
        splits: the split of each row where a column gives it, else None.
        times: when each row's photo was taken, where a column says it, else None.
        problems: rows that cannot be used.
        sha256: of the whole file.
        fixes: what was changed since by decisions about doubtful labels, if anything.
    """

    file: str
    ids: tuple[str, ...]
    csv_rows: np.ndarray
    targets: Targets
    class_names: tuple[str, ...]
    task: Task
    shape: str
    image_column: str
    ignored_columns: tuple[str, ...]
    groups: tuple[str, ...] | None
    problems: tuple[Problem, ...]
    sha256: str
    splits: tuple[str, ...] | None = None
    times: RowTimes | None = None
    fixes: AppliedFixes | None = None

    def take(self, rows: np.ndarray) -> "LabelTable":
        """The table of some of its rows, ascending; problems of the others are gone."""
        numbers = set(self.csv_rows[rows].tolist())
        return dataclasses.replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            csv_rows=self.csv_rows[rows],
            targets=self.targets[rows],
            groups=None if self.groups is None else tuple(self.groups[row] for row in rows),
            splits=None if self.splits is None else tuple(self.splits[row] for row in rows),
            times=None if self.times is None else self.times.take(rows),
            problems=tuple(one for one in self.problems if one.row in numbers),
        )


def read_labels(path: str, options: LabelOptions) -> LabelTable:
    """Read a CSV of ids and labels.

    Raises:
        OrchardError: there is no such CSV, or as `labels_of_csv`.
    """
    return labels_of_csv(read_table(path), options)


def read_ids(
    path: str, image_column: str | None, class_names: Sequence[str], task: Task
) -> LabelTable:
    """Read a CSV of which only the ids count: the test rows of a competition.

    Raises:
        OrchardError: there is no such CSV.
    """
    return ids_of_csv(read_table(path), image_column, class_names, task)


def labels_of_csv(table: CsvTable, options: LabelOptions) -> LabelTable:
    """The ids and labels in a CSV.

    Raises:
        OrchardError: a column is missing, or the shape of the labels is ambiguous. What is wrong
            with single rows is in the table's `problems` instead.
    """
    image_column = find_image_column(table, options.image_column)
    for flag in ("group_column", "split_column", "time_column"):
        if name := getattr(options, flag):
            require_column(table, name, f"--{flag}")
    columns, ignored = _label_columns(table, options, image_column)
    ids = table.column(image_column)
    shape = _shape(table, options, columns)
    labels = _labels(table, options, shape, columns, ids)
    _check_class_names(table.file, labels.class_names)
    problems = table.problems + _id_problems(table, ids)
    targets, label_problems, splits, times = labels.targets, labels.problems, None, None
    if options.time_column:
        times, undated = read_times(table, options.time_column, ids)
        problems = problems + undated
    if options.split_column:
        given = read_splits(table, options.split_column, ids)
        problems, splits = problems + given.problems, given.splits
        targets, label_problems = _without_test(table, options.split_column, splits, labels)
    every = (*problems, *label_problems)
    bad = {problem.row for problem in every}
    used = np.array([number not in bad for number in table.row_numbers], bool)
    return LabelTable(
        file=table.file,
        ids=tuple(ids),
        csv_rows=np.asarray(table.row_numbers, np.int64),
        targets=targets.compacted(labels.task, used),
        class_names=labels.class_names,
        task=labels.task,
        shape=shape,
        image_column=image_column,
        ignored_columns=ignored,
        groups=tuple(table.column(options.group_column)) if options.group_column else None,
        problems=_in_order(every),
        sha256=table.sha256,
        splits=splits,
        times=times,
    )


def _shape(table: CsvTable, options: LabelOptions, columns: list[str]) -> str:
    """How the labels are given; of a shape that says so, by one column.

    Raises:
        OrchardError: there are more, the shape is not clear, or the task is another one's.
    """
    shape = "names" if options.label_delimiter else options.label_shape
    if shape == "auto":
        shape = shapes.detect_shape(table, columns)
    if shape == "columns":
        return shape
    if len(columns) != 1:
        raise OrchardError(
            f"{table.file}: --label_shape={shape} needs one label column, there are "
            f"{len(columns)} ({', '.join(columns)}); pass --label_columns=NAME"
        )
    if options.task not in ("auto", shapes.task_of_shape(shape)):
        raise OrchardError(
            f"{table.file}: --task={options.task} does not go with labels of shape {shape!r}; "
            "pass --label_shape"
        )
    return shape


def _labels(
    table: CsvTable, options: LabelOptions, shape: str, columns: list[str], ids: list[str]
) -> shapes.Labels:
    if shape == "columns":
        ask = not options.label_columns
        return shapes.from_columns(table, columns, ids, options.class_names, options.task, ask=ask)
    return shapes.from_names(
        table, columns[0], shape, ids, options.class_names, options.label_delimiter
    )


def _without_test(
    table: CsvTable, column: str, splits: Sequence[str], labels: shapes.Labels
) -> tuple[Targets, list[Problem]]:
    """Targets, and what is wrong with labels, without the rows of the split `test`.

    Raises:
        OrchardError: all rows are in it.
    """
    is_test = np.array([split == SplitKind.TEST for split in splits])
    if is_test.all():
        raise OrchardError(
            f"{table.file}: all rows are in the split test (--split_column={column}), which has no "
            "labels; name rows to train on"
        )
    without = {table.row_numbers[row] for row in np.flatnonzero(is_test)}
    problems = [one for one in labels.problems if one.row not in without]
    return labels.targets.without(is_test), problems


def ids_of_csv(
    table: CsvTable, image_column: str | None, class_names: Sequence[str], task: Task
) -> LabelTable:
    """The ids in a CSV, unlabeled.

    Further columns (a sample submission has made-up probabilities) are ignored and listed.
    """
    if image_column not in table.header:
        image_column = None
    column = find_image_column(table, image_column)
    ids = table.column(column)
    return LabelTable(
        file=table.file,
        ids=tuple(ids),
        csv_rows=np.asarray(table.row_numbers, np.int64),
        targets=Targets.unlabeled_rows(len(table.rows), len(class_names)),
        class_names=tuple(class_names),
        task=task,
        shape="ids",
        image_column=column,
        ignored_columns=tuple(name for name in table.header if name != column),
        groups=None,
        problems=_in_order(table.problems + _id_problems(table, ids)),
        sha256=table.sha256,
    )


def rows_as_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """The CSV that a source without one stands for: UTF-8, lines that end in LF.

    No cell may hold a CR, which Python's writer would not quote.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _label_columns(
    table: CsvTable, options: LabelOptions, image_column: str
) -> tuple[list[str], tuple[str, ...]]:
    """The columns of the labels, and those that are ignored."""
    unused = (image_column, options.group_column, options.split_column, options.time_column)
    index = tuple(name for name in table.index_columns if name not in unused)
    rest = [name for name in table.header if name not in (*unused, *index)]
    for name in options.label_columns:
        require_column(table, name, "--label_columns")
    if options.label_columns:
        chosen = list(options.label_columns)
        return chosen, tuple(name for name in (*index, *rest) if name not in chosen)
    if not rest:
        raise OrchardError(
            f"{table.file} has no label column beside {image_column!r}; a CSV of ids only goes to "
            f"--test_csv"
        )
    return rest, index


def _check_class_names(file: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise OrchardError(
                f"{file}: the class {name!r} is named twice; name each once in --label_columns or "
                "--class_names"
            )
        if not name or "\n" in name or "\r" in name:
            raise OrchardError(
                f"{file}: {name!r} cannot be a class name: empty or with a line break"
            )


def _id_problems(table: CsvTable, ids: Sequence[str]) -> list[Problem]:
    problems: list[Problem] = []
    first: dict[str, int] = {}
    distinct = set(ids)
    if len(distinct) == len(ids) and "" not in distinct:
        return problems
    for number, image_id in zip(table.row_numbers, ids, strict=True):
        if not image_id:
            problems.append(Problem(table.file, number, image_id, "empty id", "the id is empty"))
        elif image_id in first:
            detail = f"the same id is in row {first[image_id]}"
            problems.append(Problem(table.file, number, image_id, "duplicate id", detail))
        else:
            first[image_id] = number
    return problems


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: problem.row))
