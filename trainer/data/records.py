"""The records of some splits of a dataset, as one table: where each lies, and its target.

A record's row in the table is its *gid*, the key of everything that is a function of a record:
order, augmentation, logits. Rows follow the dataset's own order of splits, shards and offsets, so
that `fold0+fold1` and `fold1+fold0` are the same table.
"""

import dataclasses
import functools
from dataclasses import dataclass, field

import numpy as np

from orchard.errors import OrchardError
from orchard.formats import RecordFormat, Task, record_format


@dataclass(frozen=True)
class RecordTable:
    """n records in TFRecord or ArrayRecord files.

    Attributes:
        ids: str [n], the image ids.
        files: paths of the files, all of one form.
        file_index: int32 [n], position in `files`; ascending.
        offsets: int64 [n], where the record is in its file, as `form.offsets` counts.
        lengths: int32 [n], bytes of the serialized tf.train.Example.
        targets: float32 [n, num_classes]; one-hot, multi-hot or soft; -1 everywhere: unlabeled.
        class_names: the classes, in the targets' order.
        task: what the labels mean.
        fingerprint: what the dataset is, hex.
        splits: the splits that the rows come from, in the table's order.
        image_key: the feature that holds the encoded image.
        square_px: the side that images were squashed to at preparation; 0: they were not.
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
    square_px: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def form(self) -> RecordFormat:
        """The form of the files."""
        return record_format(self.files[0])

    @functools.cached_property
    def runs(self) -> np.ndarray:
        """int32 [n]: the run of each record, of records that follow each other in one file.

        A table of whole splits has a run a file; one of some of their records has more.
        """
        ends = self.form.ends(self.offsets, self.lengths)
        begins = (np.diff(self.file_index) != 0) | (self.offsets[1:] != ends[:-1])
        return np.concatenate([[0], np.cumsum(begins)]).astype(np.int32)

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
        file, where = self.files[self.file_index[gid]], self.form.describe(self.offsets[gid])
        return f"{file}, record at {where}, id {str(self.ids[gid])!r}"


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


def check_not_empty(dataset_dir: str, splits: str, num_records: int) -> None:
    """Raises OrchardError for splits without a record."""
    if num_records == 0:
        raise OrchardError(f"{dataset_dir}: split {splits!r} holds no records; choose another")


def check_labelled(records: RecordTable) -> None:
    """Raises OrchardError for a table with records that can't be learned from or scored."""
    unlabeled = np.flatnonzero((records.targets < 0).any(axis=1))
    if len(unlabeled):
        raise OrchardError(
            f"{len(unlabeled)} of {len(records)} records of {'+'.join(records.splits)} have no "
            f"label, first {str(records.ids[unlabeled[0]])!r}; choose labeled splits"
        )
