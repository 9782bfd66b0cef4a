"""A sample submission: the CSV that says which images to predict, in which order and columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.labels import read_csv
from orchard.errors import OrchardError

# `labels` columns of competitions name images with the extension, label CSVs often without.
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Submission:
    """A sample submission: what to write, and in which order.

    Attributes:
        file: where it lies.
        columns: its header; the first is the id column.
        ids: as written there.
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
