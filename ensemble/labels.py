"""Labels of predicted images, to score with: of a CSV, or of folders named after classes."""

import posixpath
from collections.abc import Sequence

import numpy as np

from data_prep.images import without_ending
from data_prep.labels import LabelOptions, read_labels
from ensemble.submission import match_ids
from orchard.errors import OrchardError
from orchard.formats import Task


def targets_of_csv(
    path: str,
    ids: Sequence[str] | np.ndarray,
    class_names: Sequence[str],
    task: Task,
    *,
    others: bool = False,
) -> np.ndarray:
    """Labels of `--labels_csv`: float32 [ids, classes], -1 everywhere in rows without any.

    Args:
        path: of the CSV, whose ids may have endings or lack them.
        ids: of the predicted images.
        class_names: of the columns.
        task: what the labels mean.
        others: whether the CSV may have images that were not predicted.

    Raises:
        OrchardError: a row of it cannot be read, or names no predicted image.
    """
    table = read_labels(path, LabelOptions(class_names=tuple(class_names), task=task))
    if table.problems:
        problem = table.problems[0]
        raise OrchardError(
            f"--labels_csv={path}, row {problem.row} ({problem.id}): {problem.kind}: "
            f"{problem.detail}"
        )
    rows = np.arange(len(table.ids))
    if others:
        known = {without_ending(str(image_id)) for image_id in ids}
        rows = rows[[without_ending(image_id) in known for image_id in table.ids]]
        if not len(rows):
            raise OrchardError(
                f"--labels_csv={path} has none of the {len(ids)} predicted images (the first is "
                f"{str(ids[0])!r}); its own first is {table.ids[0]!r}"
            )
    targets = np.full((len(ids), len(class_names)), -1, np.float32)
    wanted = [table.ids[row] for row in rows]
    targets[match_ids(wanted, ids, f"--labels_csv={path}")] = table.targets[rows].matrix
    return targets


def targets_of_folders(
    paths: Sequence[str], class_names: Sequence[str], task: Task
) -> np.ndarray | None:
    """Labels float32 [paths, classes] where each file's folder is a class; None: they are not."""
    folders = [posixpath.basename(posixpath.dirname(path)) for path in paths]
    if task != Task.SINGLE_LABEL or not set(folders) <= set(class_names):
        return None
    return (np.array(folders)[:, None] == np.array(class_names)).astype(np.float32)
