"""The records of some splits of a dataset, as one table: where each lies, and its target.

A record's row in the table is its *gid*, the key of everything that is a function of a record:
order, augmentation, logits. Rows follow the dataset's own order of splits, shards and offsets, so
that `fold0+fold1` and `fold1+fold0` are the same table.
"""

import dataclasses
import functools
from dataclasses import dataclass, field

import numpy as np

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Task
from orchard.formats import manifest as manifests
from trainer.data import gcs_reads


@dataclass(frozen=True)
class RecordTable:
    """n records in TFRecord files.

    Attributes:
        ids: str [n], the image ids.
        files: paths of the TFRecord files.
        file_index: int32 [n], position in `files`; ascending.
        offsets: int64 [n], where the record's frame (its 8-byte length) begins in the file.
        lengths: int32 [n], bytes of the serialized tf.train.Example (the frame is 16 bytes longer).
        targets: float32 [n, num_classes]; one-hot, multi-hot or soft; -1 everywhere: unlabelled.
        class_names: the classes, in the targets' order.
        task: what the labels mean.
        fingerprint: what the dataset is, hex.
        splits: the splits that the rows come from, in the table's order.
        image_key: the feature that holds the encoded image.
    """

    ids: np.ndarray
    files: tuple[str, ...]
    file_index: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray
    class_names: tuple[str, ...]
    task: Task
    fingerprint: str
    splits: tuple[str, ...]
    image_key: str = field(default="image")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_bytes(self) -> int:
        """Bytes of all records' tf.train.Examples."""
        return int(self.lengths.sum(dtype=np.int64))

    def take(self, rows: np.ndarray) -> "RecordTable":
        """The table of some of its rows, ascending."""
        columns = ("ids", "file_index", "offsets", "lengths", "targets")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def describe(self, gid: int) -> str:
        """Names a record by file, offset and id, for errors."""
        return (
            f"{self.files[self.file_index[gid]]}, record at byte {self.offsets[gid]}, "
            f"id {str(self.ids[gid])!r}"
        )


def load_records(dataset_dir: str, splits: str) -> RecordTable:
    """Reads the table of some splits, e.g. "fold0+fold1", "train" or "test".

    A TFDS dataset that another program prepared will do too if it has one image and one label
    feature; its index is scanned once and kept (see `trainer.data.tfds_records`).

    Raises:
        OrchardError: no such dataset or split, the same split twice, or splits without records.
    """
    if _is_foreign(dataset_dir):
        from trainer.data import tfds_records

        return tfds_records.load(dataset_dir, splits)
    return _from_manifest(dataset_dir, splits)


def split_names(dataset_dir: str) -> tuple[str, ...]:
    """The splits of a dataset, in its order; of one that another program prepared, too.

    Raises:
        OrchardError: no such dataset.
    """
    if _is_foreign(dataset_dir):
        from trainer.data import tfds_records

        return tfds_records.split_names(dataset_dir)
    return tuple(manifests.load_manifest(dataset_dir).splits)


def _is_foreign(dataset_dir: str) -> bool:
    """Whether a dataset has TFDS's metadata alone."""
    return not storage.exists(storage.join(dataset_dir, manifests.MANIFEST_FILE)) and (
        storage.exists(storage.join(dataset_dir, manifests.FEATURES_FILE))
    )


def choose_splits(dataset_dir: str, there: tuple[str, ...], splits: str) -> tuple[str, ...]:
    """Parses "a+b" against the splits that there are; returns them in the dataset's order."""
    asked = [split.strip() for split in splits.split("+")]
    for split in asked:
        if split not in there:
            raise OrchardError(
                f"{dataset_dir} has no split {split!r} (asked for {splits!r}); "
                f"there are {', '.join(there)}"
            )
        if asked.count(split) > 1:
            raise OrchardError(f"split {split!r} is named twice in {splits!r}; name it once")
    return tuple(split for split in there if split in asked)


def _from_manifest(dataset_dir: str, splits: str) -> RecordTable:
    manifest = manifests.load_manifest(dataset_dir)
    chosen = choose_splits(dataset_dir, tuple(manifest.splits), splits)
    if storage.is_gcs(dataset_dir):
        # Every command loads its table before TensorFlow first touches gs://.
        shards = (shard for split in manifest.splits.values() for shard in split.shards)
        gcs_reads.set_read_options(sum(shard.num_bytes for shard in shards))
    frame = _frame(dataset_dir, manifest.fingerprint)
    first_file, files = {}, []
    for split in chosen:
        first_file[split] = len(files)
        files += [storage.join(dataset_dir, shard.file) for shard in manifest.splits[split].shards]
    frame = frame[frame["split"].isin(chosen)]
    check_not_empty(dataset_dir, splits, len(frame))
    file_index = frame["split"].map(first_file).to_numpy() + frame["shard"].to_numpy()
    if (np.diff(file_index) < 0).any():
        raise OrchardError(
            f"{dataset_dir}: {manifests.RECORDS_FILE} is not in shard order; prepare it again"
        )
    return RecordTable(
        ids=frame["id"].to_numpy(str),
        files=tuple(files),
        file_index=file_index.astype(np.int32),
        offsets=frame["offset"].to_numpy(np.int64),
        lengths=frame["length"].to_numpy(np.int32),
        targets=np.stack(frame["target"].to_numpy()).astype(np.float32),
        class_names=manifest.class_names,
        task=manifest.task,
        fingerprint=manifest.fingerprint,
        splits=chosen,
    )


@functools.lru_cache(maxsize=4)
def _frame(dataset_dir: str, fingerprint: str):
    # Training, evaluation and five folds each want a part of the same file. The fingerprint is part
    # of the key because a dataset may be prepared again at the same path.
    del fingerprint
    return manifests.load_records(dataset_dir)


def check_not_empty(dataset_dir: str, splits: str, num_records: int) -> None:
    """Raises OrchardError for splits without a record."""
    if num_records == 0:
        raise OrchardError(f"{dataset_dir}: split {splits!r} holds no records; choose another")


def check_labelled(records: RecordTable) -> None:
    """Raises OrchardError for a table with records that can't be learned from or scored."""
    unlabelled = np.flatnonzero((records.targets < 0).any(axis=1))
    if len(unlabelled):
        raise OrchardError(
            f"{len(unlabelled)} of {len(records)} records of {'+'.join(records.splits)} have no "
            f"label, first {str(records.ids[unlabelled[0]])!r}; choose labelled splits"
        )
