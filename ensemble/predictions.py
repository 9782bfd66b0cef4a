"""Probabilities as a CSV: as a sample submission asks, or with id, class and every probability."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep import storage
from data_prep.errors import OrchardError

# `labels` columns of competitions name images with the extension, label CSVs often without.
_EXTENSIONS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Submission:
    """A sample submission: what to write, and in which order.

    columns: its header; the first is the id column. ids: as written there.
    """

    file: str
    columns: tuple[str, ...]
    ids: tuple[str, ...]


def read_submission(path: str, class_names: Sequence[str]) -> Submission:
    """Read and check a sample submission.

    Raises:
        OrchardError: no such file, repeated or empty ids, or columns that are neither the classes
            nor one column of labels.
    """
    if not storage.exists(path):
        raise OrchardError(f"--sample_submission={path}: no such file")
    rows = list(csv.reader(io.StringIO(storage.read_bytes(path).decode("utf-8-sig"), newline="")))
    if len(rows) < 2:
        raise OrchardError(f"--sample_submission={path} has no rows")
    columns = tuple(cell.strip() for cell in rows[0])
    if len(columns) != 2 or columns[1] in class_names:
        strange = [name for name in columns[1:] if name not in class_names]
        lacking = [name for name in class_names if name not in columns[1:]]
        if strange or lacking:
            raise OrchardError(
                f"--sample_submission={path} has the columns {', '.join(columns)}; after the id it "
                f"needs one a class ({', '.join(class_names)}) or one column of labels"
            )
    ids: dict[str, int] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if not row[0].strip() or row[0] in ids:
            what = f"{row[0]!r} again, as in row {ids[row[0]]}" if row[0] in ids else "no id"
            raise OrchardError(f"--sample_submission={path}, row {number}: {what}")
        ids[row[0]] = number
    return Submission(path, columns, tuple(ids))


def write_predictions(
    path: str,
    ids: Sequence[str],
    probabilities: np.ndarray,
    class_names: Sequence[str],
    task: str,
    *,
    thresholds: np.ndarray,
    submission: Submission | None = None,
    id_column: str = "image_id",
) -> None:
    """Write one row an image, atomically.

    Args:
        path: destination, local or gs://.
        ids: of the rows of `probabilities`, unique.
        probabilities: float [rows, classes], written as float32 with all their digits.
        class_names: of the columns.
        task: "single_label" or "multi_label".
        thresholds: float [classes]: a class is named from its threshold on (many-label tasks).
        submission: its columns, ids and order; without one the columns are id, class (several
            separated by spaces) and one a class.
        id_column: name of the first column without a submission.

    Raises:
        OrchardError: the submission asks for an id that was not predicted.
    """
    if submission is None:
        order = np.arange(len(ids))
        written_ids, header = list(ids), (id_column, "class", *class_names)
    else:
        order = _rows_of(submission, ids)
        written_ids, header = list(submission.ids), submission.columns
    probabilities = np.asarray(probabilities, np.float32)[order]
    cells = {name: probabilities[:, at] for at, name in enumerate(class_names)}
    named = not set(header[1:]) <= set(class_names)
    labels = class_labels(probabilities, class_names, task, thresholds) if named else []
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    labels_at = 1 if named else None
    for row, image_id in enumerate(written_ids):
        line = [image_id]
        for at, name in enumerate(header[1:], start=1):
            line.append(labels[row] if at == labels_at else str(cells[name][row]))
        writer.writerow(line)
    storage.write_bytes(path, buffer.getvalue().encode())


def class_labels(
    probabilities: np.ndarray, class_names: Sequence[str], task: str, thresholds: np.ndarray
) -> list[str]:
    """The class of each row, or its classes from their thresholds on, separated by spaces.

    A row of a many-label task with no class at its threshold gets the one nearest to it (highest
    ratio of probability to threshold): an image without any label is no valid row of a label CSV.
    """
    if task == "single_label":
        return [class_names[best] for best in probabilities.argmax(axis=1)]
    named = []
    for row in probabilities:
        chosen = np.flatnonzero(row >= thresholds)
        if not len(chosen):
            chosen = [int(np.argmax(row / np.maximum(thresholds, 1e-9)))]
        named.append(" ".join(class_names[at] for at in chosen))
    return named


def write_soft_labels(
    path: str, ids: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str]
) -> None:
    """Write the label CSV that preparation and distillation read: image_id and one column a class.

    Values are float32 probabilities; one-label rows sum to 1 within rounding.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("image_id", *class_names))
    for image_id, row in zip(ids, np.asarray(probabilities, np.float32), strict=True):
        writer.writerow((image_id, *map(str, row)))
    storage.write_bytes(path, buffer.getvalue().encode())


def match_ids(wanted: Sequence[str], ids: Sequence[str], owner: str) -> np.ndarray:
    """Rows of `ids` that `wanted` names, with or without an image extension.

    Raises:
        OrchardError: a wanted id is none of them; the line names it and its owner.
    """
    rows = {str(image_id): row for row, image_id in enumerate(ids)}
    bare = {_bare(image_id): row for image_id, row in rows.items()}
    found = np.empty(len(wanted), np.int64)
    for at, image_id in enumerate(wanted):
        row = rows.get(image_id, bare.get(_bare(image_id)))
        if row is None:
            raise OrchardError(
                f"{owner} names {image_id!r}, which is not among the {len(ids)} predicted images "
                f"(the first is {str(ids[0])!r})"
            )
        found[at] = row
    return found


def _rows_of(submission: Submission, ids: Sequence[str]) -> np.ndarray:
    return match_ids(submission.ids, ids, f"--sample_submission={submission.file}")


def _bare(image_id: str) -> str:
    for extension in _EXTENSIONS:
        if image_id.lower().endswith(extension):
            return image_id[: -len(extension)]
    return image_id
