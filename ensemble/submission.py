"""A sample submission: the CSV that says which images to predict, in which order and columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.images import without_ending
from data_prep.labels import read_table
from orchard.errors import OrchardError
from orchard.flags import option
from orchard.formats import Task, TextEnum


class SubmissionValues(TextEnum):
    """What the one column of a sample submission is to hold."""

    AUTO = "auto"
    PROBABILITIES = "probabilities"
    LABELS = "labels"


@dataclass(frozen=True)
class Submission:
    """A sample submission: what to write, and in which order.

    Attributes:
        file: where it lies.
        columns: its header; the first is the id column.
        ids: as written there.
        classes: those of the columns after the id; none: there is one column, of labels.
        note: what its one column holds, where that is not plain from its name.
    """

    file: str
    columns: tuple[str, ...]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    note: str = ""


def submission_values_option() -> SubmissionValues:
    """The flag `--submission_values`, which all commands with a sample submission have."""
    return option(
        SubmissionValues.AUTO,
        "What a sample submission's only column holds: probabilities (of the second of two "
        "classes, or of the one that the column is named after), labels, or auto: probabilities "
        "where there are two classes and the sample has numbers.",
        group="output",
    )


def read_submission(
    path: str,
    class_names: Sequence[str],
    task: Task,
    values: SubmissionValues = SubmissionValues.AUTO,
) -> Submission:
    """Read and check a sample submission.

    Args:
        path: where it lies.
        class_names: of the probabilities.
        task: what the labels mean.
        values: what its one column is to hold: a `SubmissionValues`.

    Raises:
        OrchardError: no CSV, repeated or empty ids, columns that are neither the classes nor one
            column, or probabilities in one column for several classes.
    """
    table = read_table(path)
    if table.problems:
        problem = table.problems[0]
        raise OrchardError(f"--sample_submission={path}, row {problem.row}: {problem.detail}")
    ids: dict[str, int] = {}
    for number, row in zip(table.row_numbers, table.rows, strict=True):
        if not row[0].strip() or row[0] in ids:
            what = f"{row[0]!r} again, as in row {ids[row[0]]}" if row[0] in ids else "no id"
            raise OrchardError(f"--sample_submission={path}, row {number}: {what}")
        ids[row[0]] = number
    columns = tuple(table.header[1:])
    if len(columns) == 1 and columns != tuple(class_names):
        cells = [row[1].strip() for row in table.rows]
        classes, note = _only_column(path, columns[0], cells, class_names, task, values)
    else:
        classes, note = _submitted_classes(path, columns, class_names, values), ""
    return Submission(path, tuple(table.header), tuple(ids), classes, note)


def _only_column(
    path: str,
    column: str,
    cells: Sequence[str],
    class_names: Sequence[str],
    task: Task,
    values: SubmissionValues,
) -> tuple[tuple[str, ...], str]:
    """The class whose probability the one column holds (none: it holds labels), and a note."""
    # Two classes that exclude each other are one probability.
    binary = len(class_names) == 1 or (len(class_names) == 2 and task == Task.SINGLE_LABEL)
    of_class = column if column in class_names else class_names[-1]
    numeric = all(map(_is_probability, cells))
    if values == SubmissionValues.AUTO:
        wanted = binary and (
            column in class_names or (numeric and not _are_names(cells, class_names))
        )
    else:
        wanted = values == SubmissionValues.PROBABILITIES
    if wanted and not binary:
        raise OrchardError(
            f"--submission_values={values}: --sample_submission={path} has the one column "
            f"{column!r} for {len(class_names)} classes; give it one column a class"
        )
    if wanted:
        return (of_class,), (
            f"Column {column!r} holds the probability of class {of_class!r} "
            "(--submission_values=labels: the names of the classes)."
        )
    if column in class_names and values == SubmissionValues.AUTO:
        _submitted_classes(path, (column,), class_names, values)
    if numeric and not set(cells) <= set(class_names):
        return (), (
            f"Column {column!r} holds names of classes, though the sample has numbers "
            f"such as {cells[0]!r}."
        )
    return (), ""


def _is_probability(cell: str) -> bool:
    try:
        return 0 <= float(cell) <= 1
    except ValueError:
        return False


def _are_names(cells: Sequence[str], class_names: Sequence[str]) -> bool:
    """Whether numbers are names of classes: a sample of zeros says nothing of classes 0 and 1."""
    return set(cells) <= set(class_names) and tuple(class_names) != ("0", "1")


def _submitted_classes(
    path: str, columns: tuple[str, ...], class_names: Sequence[str], values: SubmissionValues
) -> tuple[str, ...]:
    lacking = [name for name in class_names if name not in columns]
    unknown = [name for name in columns if name not in class_names]
    if lacking or unknown:
        what = f"no column {lacking[0]!r}" if lacking else f"a column {unknown[0]!r}, no class"
        raise OrchardError(
            f"--sample_submission={path} has {what}; after the id it needs one column a class, or "
            "one of labels alone"
        )
    if values == SubmissionValues.LABELS:
        raise OrchardError(
            f"--submission_values={values}: --sample_submission={path} has one column a class; "
            "give it one column of labels"
        )
    return columns


def match_ids(wanted: Sequence[str], ids: Sequence[str] | np.ndarray, owner: str) -> np.ndarray:
    """Rows of `ids` that `wanted` names, with or without an image extension.

    Args:
        wanted: what to find.
        ids: of the predicted images, unique.
        owner: who asks, for the error.

    Returns:
        int64 [wanted].

    Raises:
        OrchardError: a wanted id is none of them, could be several, or is one that was named
            before; the line names it and its owner.
    """
    # Columns of labels in competitions name images with the ending, label CSVs often without.
    rows = {str(image_id): row for row, image_id in enumerate(ids)}
    bare: dict[str, list[int]] = {}
    for image_id, row in rows.items():
        bare.setdefault(without_ending(image_id), []).append(row)
    named_as: dict[int, str] = {}
    for image_id in wanted:
        found = [rows[image_id]] if image_id in rows else bare.get(without_ending(image_id), [])
        if len(found) != 1:
            raise OrchardError(
                f"{owner} names {image_id!r}, which is {'several' if found else 'not'} among the "
                f"{len(ids)} predicted images (the first is {str(ids[0])!r})"
            )
        if found[0] in named_as:
            raise OrchardError(
                f"{owner} names one image twice, as {named_as[found[0]]!r} and {image_id!r}; "
                "remove one of them"
            )
        named_as[found[0]] = image_id
    return np.array(list(named_as), np.int64)
