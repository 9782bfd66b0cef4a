"""The plan of a dataset's shards: their number, their rows, and the fingerprints that name them."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass

import numpy as np

from data_prep.images import ImageOptions
from orchard.formats import Lineage, ShardInfo, Targets, Task

# Part of every fingerprint: change it with anything that `write_shard` makes of the same plan.
FORMAT_VERSION = 1
_MB = 1_000_000
# TensorFlow's guide: at least ten files a reading host, each of 10 MB and more.
# https://www.tensorflow.org/tutorials/load_data/tfrecord
_FILES_PER_HOST = 10
_MIN_FILE_BYTES = 10 * _MB
# A worker holds the names and checksums of its shard: a bound on its memory for tiny images.
_MAX_RECORDS_PER_FILE = 100_000


@dataclass(frozen=True)
class OldRecords:
    """Where the records of a shard are in the version that is extended.

    Attributes:
        shard: its shard that holds them, maybe with others.
        positions: int64 [n], which of its records they are, ascending.
        lengths: int64 [n], bytes of each serialized Example there.
        relabeled: how many of them get other labels.
    """

    shard: ShardInfo
    positions: np.ndarray
    lengths: np.ndarray
    relabeled: int


@dataclass(frozen=True)
class PlannedShard:
    """The rows of one shard, in the order of its records; arrays have one entry a row.

    Attributes:
        split: its split.
        index, count: which shard of the split, and how many there are.
        file: TFDS's name of its file.
        ids: of the images.
        files: of the images, within their folder.
        csv_rows: of the labels.
        targets: what the labels say, in the one form of all shards of a dataset.
        num_bytes, crc32c, sha256: of the source files.
        reencode: whether the record holds another JPEG than the file.
        spool_offset: where the spool has the file's bytes, or -1.
        pictured: positions of the records that the card shows.
        repeats: int16 [n, further repeats], the fold of each record in each; None: there are none.
        difference_hash: V16 [n], where near duplicates were looked for.
        old: where the version that is extended has the records, whose JPEGs `crc32c` is then of;
            None: they are made of files.
        content: SHA-256 (hex) of what decides the shard's bytes and its part of the index, but for
            versions; no path is among it.
        fingerprint: the same with the versions of what encodes, where anything is encoded.
    """

    split: str
    index: int
    count: int
    file: str
    ids: tuple[str, ...]
    files: tuple[str, ...]
    csv_rows: np.ndarray
    targets: Targets
    num_bytes: np.ndarray
    crc32c: np.ndarray
    sha256: np.ndarray
    reencode: np.ndarray
    spool_offset: np.ndarray
    pictured: tuple[int, ...] = ()
    repeats: np.ndarray | None = None
    difference_hash: np.ndarray | None = None
    old: OldRecords | None = None
    content: str = ""
    fingerprint: str = ""

    @property
    def labelled(self) -> bool:
        """Whether the rows have labels; a shard has all of them or none."""
        return not self.targets.unlabeled[0]

    @property
    def is_taken_over(self) -> bool:
        """Whether a shard of the version that is extended becomes this one as it is."""
        old = self.old
        return (
            old is not None and old.relabeled == 0 and len(old.positions) == old.shard.num_records
        )


@dataclass(frozen=True)
class Plan:
    """All shards of a dataset, splits one after the other, and how images become records.

    `lineage` says how it grew, the oldest step first; empty: it is of files alone.
    """

    dataset: str
    task: Task
    options: ImageOptions
    shards: tuple[PlannedShard, ...]
    lineage: tuple[Lineage, ...] = ()

    @property
    def has_targets(self) -> bool:
        """Whether records and index have `target`, and not the class alone."""
        return not self.shards[0].targets.are_classes

    @property
    def splits(self) -> dict[str, list[int]]:
        """The positions in `shards` of each split's shards."""
        result: dict[str, list[int]] = {}
        for position, shard in enumerate(self.shards):
            result.setdefault(shard.split, []).append(position)
        return result


def shard_file_name(dataset: str, split: str, index: int, count: int, file_format: str) -> str:
    """TFDS's name of a shard's file."""
    return f"{dataset}-{split}.{file_format}-{index:05d}-of-{count:05d}"


def num_shards(total_bytes: int, num_records: int, shard_mb: int, hosts: int) -> int:
    """How many shards a split gets.

    Enough that none is larger than `shard_mb` MB or 100,000 records on average, and ten a host
    where files stay at 10 MB or more; a multiple of `hosts`, so that all read equally many, unless
    there are fewer records than hosts.
    """
    for_size = -(-total_bytes // (shard_mb * _MB))
    for_memory = -(-num_records // _MAX_RECORDS_PER_FILE)
    for_hosts = min(_FILES_PER_HOST * hosts, total_bytes // _MIN_FILE_BYTES)
    count = max(1, for_size, for_memory, for_hosts)
    count = -(-count // hosts) * hosts
    return min(count, num_records)


def boundaries(num_records: int, count: int) -> list[int]:
    """Where the shards of a split begin: `count + 1` numbers; sizes differ by one at most."""
    return [num_records * shard // count for shard in range(count + 1)]


def fingerprint_shard(dataset: str, task: Task, options: ImageOptions, shard: PlannedShard) -> str:
    """SHA-256 (hex) of what decides a shard's bytes and its part of the index, but for versions."""
    digest = hashlib.sha256()
    head = [
        FORMAT_VERSION,
        dataset,
        task,
        dataclasses.asdict(options) if shard.reencode.any() else None,
        [shard.split, shard.index, shard.count],
        shard.ids,
        shard.files,
    ]
    if shard.old is not None:
        head.append(dataclasses.asdict(shard.old.shard))
    digest.update(json.dumps(head, sort_keys=True).encode())
    arrays = [shard.csv_rows, shard.targets.values, shard.sha256, shard.reencode]
    if shard.repeats is not None:
        arrays.append(shard.repeats)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
