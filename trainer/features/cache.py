"""Features on disk: a directory for each view, in it one file for each shard of the dataset.

    feature_cache/<key>/view.json                              what the features are
    feature_cache/<key>/plants-fold0.tfrecord-00000-of-00002.npz     those of that shard's records

The key is a hash of `view.json`, so that whatever would change a feature has a directory of its
own, and any number of runs can share the cache. A file appears whole, with the checksums of its
zip; equal features are equal bytes.
"""

import hashlib
import posixpath
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import JsonRecord, is_part, npz

_KIND = "file of the feature cache"
_REMEDY = "its features are computed anew"
_FOLDER = "feature_cache"


@dataclass(frozen=True)
class Draw:
    """How the images of a view were augmented: as an epoch of a training would.

    Attributes:
        seed: of the training.
        epoch: whose draws they are.
        splits: that are trained on; a record's row in their table is what it is drawn by.
        augment: the options of the augmentations.
    """

    seed: int
    epoch: int
    splits: str
    augment: dict[str, Any]


@dataclass(frozen=True)
class FeatureView(JsonRecord):
    """The content of `view.json`: all that features depend on but the record.

    Attributes:
        backbone: fingerprint of the network without its head.
        dataset: fingerprint of the dataset.
        image_size_px: height and width.
        resize: see `InputSpec`.
        exact_decode: see `InputSpec`.
        precision: of the computation.
        device_kind: "tpu", "gpu" or "cpu".
        versions: of the libraries that decide the numbers.
        draw: how the images were augmented; None: not at all.
    """

    REMEDY: ClassVar[str] = "remove its directory"

    backbone: str
    dataset: str
    image_size_px: tuple[int, int]
    resize: str
    exact_decode: bool
    precision: str
    device_kind: str
    versions: dict[str, str]
    draw: Draw | None = None

    @property
    def key(self) -> str:
        """Name of the view's directory."""
        return hashlib.sha256(storage.json_bytes(self.to_json())).hexdigest()[:20]


class FeatureCache:
    """The files of one view.

    Args:
        directory: of the cache.
        view: what is kept.
    """

    def __init__(self, directory: str, view: FeatureView):
        self._folder = storage.join(directory, view.key)
        self._view = view
        storage.remove_leftovers(self._folder)

    def load(self, shard: str, ids: np.ndarray, with_gaps: bool) -> np.ndarray | None:
        """The features of a shard's records, float32 [n, num_features]; None: to be computed.

        A file that is damaged is reported, and counts as none.

        Args:
            shard: path of the shard.
            ids: of its records.
            with_gaps: whether damaged records, whose rows are NaN, are fine.
        """
        path = self._path(shard)
        if not storage.exists(path):
            return None
        try:
            kept = npz.read(path, "ids", "features", kind=_KIND, remedy=_REMEDY)
            features = kept["features"]
            if len(features) != len(ids) or not np.array_equal(kept["ids"], ids):
                raise npz.damaged(path, ValueError("it has other records"), _KIND, _REMEDY)
        except OrchardError as error:
            print(error)
            return None
        return features if with_gaps or np.isfinite(features).all() else None

    def save(self, shard: str, ids: np.ndarray, features: np.ndarray) -> None:
        """Keep the features of a shard's records."""
        about = storage.join(self._folder, "view.json")
        if not storage.exists(about):
            self._view.save(about)
        npz.write(self._path(shard), {"ids": ids, "features": features})

    def _path(self, shard: str) -> str:
        return storage.join(self._folder, posixpath.basename(shard) + npz.SUFFIX)


def cache_directory(run_dir: str, given: str) -> str:
    """Where features are kept: as --feature_cache says, or beside the run directory.

    Args:
        run_dir: of one run; that of a fold or refit lies in the directory that is meant.
        given: the flag.
    """
    if given:
        return given
    folder = storage.normalize(run_dir)
    if is_part(posixpath.basename(folder)):
        folder = posixpath.dirname(folder)
    return storage.join(posixpath.dirname(folder) or ".", _FOLDER)
