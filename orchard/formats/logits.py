"""Logits on disk, keyed by image id: what training hands to the ensemble."""

from dataclasses import dataclass

import numpy as np

from orchard.formats import npz

# Of each the kind of its dtype, and its rank.
_ARRAYS = {"ids": ("U", 1), "logits": ("f", 2), "targets": ("f", 2), "class_names": ("U", 1)}
_KIND = "logits file"
_REMEDY = "delete it and run its training with --export_only to write it again"


@dataclass(frozen=True)
class Logits:
    """One network's raw outputs for some images.

    Attributes:
        ids: unicode [n], unique.
        logits: float32 [n, num_classes].
        targets: float32 [n, num_classes], 0..1; -1 everywhere in an unlabeled row.
        class_names: what the columns stand for.
    """

    ids: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = (len(self.ids), len(self.class_names))
        if self.logits.shape != shape or self.targets.shape != shape:
            raise ValueError(
                f"logits and targets must be [ids, classes] = {list(shape)}. "
                f"Received: {list(self.logits.shape)} and {list(self.targets.shape)}"
            )


def save_logits(
    path: str,
    ids: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray,
    class_names: tuple[str, ...],
) -> None:
    """Write the logits of some images, here or to gs://."""
    table = Logits(
        np.asarray(ids, np.str_),
        np.asarray(logits, np.float32),
        np.asarray(targets, np.float32),
        tuple(class_names),
    )
    npz.write(path, {**vars(table), "class_names": np.asarray(table.class_names, np.str_)})


def load_logits(path: str) -> Logits:
    """Read what `save_logits` wrote; OrchardError if the file is damaged or something else."""
    arrays = npz.read(path, *_ARRAYS, kind=_KIND, remedy=_REMEDY)
    try:
        for name, (dtype, rank) in _ARRAYS.items():
            found = arrays[name]
            if (found.dtype.kind, found.ndim) != (dtype, rank):
                raise ValueError(f"{name} is {found.dtype} of rank {found.ndim}")
        class_names = tuple(arrays["class_names"].tolist())
        return Logits(arrays["ids"], arrays["logits"], arrays["targets"], class_names)
    except ValueError as error:
        raise npz.damaged(path, error, _KIND, _REMEDY) from error
