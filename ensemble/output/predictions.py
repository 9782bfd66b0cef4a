"""Probabilities as a CSV: as a sample submission asks, or with id, class and every probability."""

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from ensemble.submission import Submission, match_ids
from orchard import storage
from orchard.formats import Task
from trainer.evaluation import hard_targets

# The classes that an image may have, separated by spaces.
SET_COLUMN = "prediction_set"


def write_predictions(
    path: str,
    ids: Sequence[str] | np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    task: Task,
    *,
    thresholds: np.ndarray,
    submission: Submission | None = None,
    sets: np.ndarray | None = None,
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
        sets: bool [rows, classes]: prediction sets, for one more column after `class`; not where a
            submission has its own.

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
    columns: list[Iterable[object]] = [
        probabilities[:, list(class_names).index(name)] for name in classes
    ]
    if with_labels or not classes:
        named = named_classes(probabilities, task, thresholds)
        columns.insert(0, class_labels(named, class_names))
    if sets is not None and submission is None:
        header = (*header[:2], SET_COLUMN, *header[2:])
        columns.insert(1, class_labels(sets, class_names))
    _write_csv(path, header, ids, *columns)


def write_top_classes(
    path: str,
    ids: Sequence[str] | np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    top_k: int,
) -> None:
    """Write the likeliest classes of each image alone: image_id, class_1, probability_1, ..."""
    header = ["image_id"]
    columns: list[Iterable[object]] = []
    for rank, (names, values) in enumerate(top_classes(probabilities, class_names, top_k), 1):
        header += [f"class_{rank}", f"probability_{rank}"]
        columns += [names, values]
    _write_csv(path, header, ids, *columns)


def top_classes(
    probabilities: np.ndarray, class_names: Sequence[str], top_k: int
) -> list[tuple[list[str], np.ndarray]]:
    """Of each rank, from the likeliest on, the class and its probability (float32) by row."""
    probabilities = np.asarray(probabilities, np.float32)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    values = np.take_along_axis(probabilities, order, axis=1)
    return [
        ([class_names[at] for at in column], value)
        for column, value in zip(order.T.tolist(), values.T, strict=True)
    ]


def write_held_out(
    path: str,
    ids: Sequence[str] | np.ndarray,
    probabilities: np.ndarray,
    targets: np.ndarray,
    class_names: Sequence[str],
    task: Task,
    *,
    thresholds: np.ndarray,
) -> None:
    """Write predictions beside the labels that they missed or met: image_id, label, class, ...

    Args:
        path: destination.
        ids: of the rows.
        probabilities: float [rows, classes].
        targets: float [rows, classes].
        class_names: of the columns.
        task: what the labels mean.
        thresholds: as in `write_predictions`.
    """
    true = class_labels(hard_targets(targets, task), class_names)
    named = class_labels(named_classes(probabilities, task, thresholds), class_names)
    columns = np.asarray(probabilities, np.float32).T
    _write_csv(path, ("image_id", "label", "class", *class_names), ids, true, named, *columns)


def named_classes(probabilities: np.ndarray, task: Task, thresholds: np.ndarray) -> np.ndarray:
    """The class of each row, or its classes from their thresholds on: bool [rows, classes].

    A row of a many-label task with no class at its threshold gets the one nearest to it (highest
    ratio of probability to threshold): an image without any label is no valid row of a label CSV.
    """
    if task == Task.SINGLE_LABEL:
        return hard_targets(probabilities, task)
    named = probabilities >= thresholds
    nearest = np.argmax(probabilities / np.maximum(thresholds, 1e-9), axis=1)
    bare = np.flatnonzero(~named.any(axis=1))
    named[bare, nearest[bare]] = True
    return named


def class_labels(named: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """The names of each row's classes, bool [rows, classes], separated by spaces."""
    return [" ".join(class_names[at] for at in np.flatnonzero(row).tolist()) for row in named]


def write_soft_labels(
    path: str,
    ids: Sequence[str] | np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> None:
    """Write the label CSV that preparation and distillation read: image_id and one column a class.

    Values are float32 probabilities; one-label rows sum to 1 within rounding.
    """
    columns = np.asarray(probabilities, np.float32).T
    _write_csv(path, ("image_id", *class_names), ids, *columns)


def _write_csv(path: str, header: Sequence[str], *columns: Iterable[object]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    # Through str: it gives float32 its own digits.
    writer.writerows(map(str, row) for row in zip(*columns, strict=True))
    storage.write_bytes(path, buffer.getvalue().encode())
