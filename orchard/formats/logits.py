"""Logits on disk, keyed by image id: what training hands to the ensemble."""

import io
import zipfile
from dataclasses import dataclass

import numpy as np

from orchard import storage
from orchard.errors import OrchardError


@dataclass(frozen=True)
class Logits:
    """One network's raw outputs for some images.

    Attributes:
        ids: unicode [n], unique.
        logits: float32 [n, num_classes].
        targets: float32 [n, num_classes], 0..1; -1 everywhere in an unlabelled row.
        class_names: what the columns stand for.
    """

    ids: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self):
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
    """Write an .npz atomically, here or to gs://; it holds no pickled object."""
    table = Logits(
        np.asarray(ids, np.str_),
        np.asarray(logits, np.float32),
        np.asarray(targets, np.float32),
        tuple(class_names),
    )
    buffer = io.BytesIO()
    np.savez(
        buffer,
        ids=table.ids,
        logits=table.logits,
        targets=table.targets,
        class_names=np.asarray(table.class_names, np.str_),
    )
    storage.write_bytes(path, buffer.getvalue())


def load_logits(path: str) -> Logits:
    """Read what `save_logits` wrote; OrchardError if the file is damaged or something else."""
    data = storage.read_bytes(path)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return Logits(
                arrays["ids"],
                arrays["logits"],
                arrays["targets"],
                tuple(str(name) for name in arrays["class_names"]),
            )
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise OrchardError(
            f"{path}: not a whole logits file ({error}); delete it and run its training with "
            "--export_only to write it again"
        ) from None
