"""Probabilities as a CSV: as a sample submission asks, or with id, class and every probability."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.labels import read_csv
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Task
from trainer.evaluation import metrics

# `labels` columns of competitions name images with the extension, label CSVs often without.
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Submission:
    """A sample submission: what to write, and in which order.

    columns: its header; the first is the id column. ids: as written there.
    classes: those of the columns after the id; none: there is one column, of labels.
    """

    file: str
    columns: tuple[str, ...]
    ids: tuple[str, ...]
    classes: tuple[str, ...]


def read_submission(path: str, class_names: Sequence[str]) -> Submission:
    """Read and check a sample submission.

    Raises:
        OrchardError: no CSV, repeated or empty ids, or columns that are neither the classes nor one
            column of labels.
    """
    table = read_csv(path)
    if table.problems:
        problem = table.problems[0]
        raise OrchardError(f"--sample_submission={path}, row {problem.row}: {problem.detail}")
    ids: dict[str, int] = {}
    for number, row in zip(table.row_numbers, table.rows, strict=True):
        if not row[0].strip() or row[0] in ids:
            what = f"{row[0]!r} again, as in row {ids[row[0]]}" if row[0] in ids else "no id"
            raise OrchardError(f"--sample_submission={path}, row {number}: {what}")
        ids[row[0]] = number
    classes = _submitted_classes(path, table.header[1:], class_names)
    return Submission(path, tuple(table.header), tuple(ids), classes)


def _submitted_classes(
    path: str, columns: Sequence[str], class_names: Sequence[str]
) -> tuple[str, ...]:
    if len(columns) == 1 and columns[0] not in class_names:
        return ()
    lacking = [name for name in class_names if name not in columns]
    strange = [name for name in columns if name not in class_names]
    if lacking or strange:
        what = f"no column {lacking[0]!r}" if lacking else f"a column {strange[0]!r}, no class"
        raise OrchardError(
            f"--sample_submission={path} has {what}; after the id it needs one column a class, or "
            "one of labels alone"
        )
    return tuple(columns)


def write_predictions(
    path: str,
    ids: Sequence[str],
    probabilities: np.ndarray,
    class_names: Sequence[str],
    task: Task,
    *,
    thresholds: np.ndarray,
    submission: Submission | None = None,
) -> None:
    """Write one row an image, atomically.

    Args:
        path: destination, local or gs://.
        ids: of the rows of `probabilities`, unique.
        probabilities: float [rows, classes], written as float32 with all their digits.
        class_names: of the columns.
        task: what the labels mean.
        thresholds: float [classes]: a class is named from its threshold on (many-label tasks).
        submission: its columns, ids and order; without one the columns are id, class (several
            separated by spaces) and one a class.

    Raises:
        OrchardError: the submission asks for an id that was not predicted.
    """
    if submission is None:
        header, classes, with_labels = ("image_id", "class", *class_names), class_names, True
    else:
        header, classes, with_labels = submission.columns, submission.classes, False
        owner = f"--sample_submission={submission.file}"
        probabilities = probabilities[match_ids(submission.ids, ids, owner)]
        ids = submission.ids
    probabilities = np.asarray(probabilities, np.float32)
    columns = [probabilities[:, list(class_names).index(name)] for name in classes]
    if with_labels or not classes:
        named = named_classes(probabilities, task, thresholds)
        columns.insert(0, class_labels(named, class_names))
    _write_csv(path, header, ids, *columns)


def named_classes(probabilities: np.ndarray, task: Task, thresholds: np.ndarray) -> np.ndarray:
    """The class of each row, or its classes from their thresholds on: bool [rows, classes].

    A row of a many-label task with no class at its threshold gets the one nearest to it (highest
    ratio of probability to threshold): an image without any label is no valid row of a label CSV.
    """
    if task == Task.SINGLE_LABEL:
        return metrics.hard_targets(probabilities, task)
    named = probabilities >= thresholds
    nearest = np.argmax(probabilities / np.maximum(thresholds, 1e-9), axis=1)
    bare = np.flatnonzero(~named.any(axis=1))
    named[bare, nearest[bare]] = True
    return named


def class_labels(named: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """The names of each row's classes, bool [rows, classes], separated by spaces."""
    return [" ".join(class_names[at] for at in np.flatnonzero(row)) for row in named]


def write_soft_labels(
    path: str, ids: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str]
) -> None:
    """Write the label CSV that preparation and distillation read: image_id and one column a class.

    Values are float32 probabilities; one-label rows sum to 1 within rounding.
    """
    columns = np.asarray(probabilities, np.float32).T
    _write_csv(path, ("image_id", *class_names), ids, *columns)


def _write_csv(path: str, header: Sequence[str], *columns: Sequence[object]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    # Through str: it gives float32 its own digits.
    writer.writerows(map(str, row) for row in zip(*columns, strict=True))
    storage.write_bytes(path, buffer.getvalue().encode())


def match_ids(wanted: Sequence[str], ids: Sequence[str], owner: str) -> np.ndarray:
    """Rows of `ids` that `wanted` names, with or without an image extension.

    Raises:
        OrchardError: a wanted id is none of them, could be several, or is one that was named
            before; the line names it and its owner.
    """
    rows = {str(image_id): row for row, image_id in enumerate(ids)}
    bare: dict[str, list[int]] = {}
    for image_id, row in rows.items():
        bare.setdefault(_bare(image_id), []).append(row)
    named_as: dict[int, str] = {}
    for image_id in wanted:
        found = [rows[image_id]] if image_id in rows else bare.get(_bare(image_id), [])
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


def _bare(image_id: str) -> str:
    for extension in _EXTENSIONS:
        if image_id.lower().endswith(extension):
            return image_id[: -len(extension)]
    return image_id
