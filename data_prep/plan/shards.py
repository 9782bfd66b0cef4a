"""Rows to shards: order, number and content of every shard, and the fingerprints that name them."""

import dataclasses
import hashlib
import json
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.images import ImageOptions
from orchard.errors import OrchardError
from orchard.formats import Task

# A change of what `write_shard` makes of the same plan must change this: it is part of every
# fingerprint.
FORMAT_VERSION = 1
_MB = 1_000_000
# TensorFlow's guide: at least ten files a reading host, each of 10 MB and more.
# https://www.tensorflow.org/tutorials/load_data/tfrecord
_FILES_PER_HOST = 10
_MIN_FILE_BYTES = 10 * _MB
# A worker holds the names and checksums of its shard: a bound on its memory for tiny images.
_MAX_RECORDS_PER_FILE = 100_000


@dataclass(frozen=True)
class ShardRows:
    """The rows of one shard, in order; arrays have one entry a row.

    targets: float32 [n, num_classes]; num_bytes, crc32c, sha256: of the source file; reencode:
    whether the record holds another JPEG than the file; spool_offset: where the spool has its
    bytes, or -1; pictured: positions of the records that the card shows.
    """

    split: str
    index: int
    count: int
    ids: tuple[str, ...]
    files: tuple[str, ...]
    csv_rows: np.ndarray
    targets: np.ndarray
    num_bytes: np.ndarray
    crc32c: np.ndarray
    sha256: np.ndarray
    reencode: np.ndarray
    spool_offset: np.ndarray
    pictured: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All that `shard.write_shard` needs to know.

    `fingerprints[i]` names the content of shard i: it depends on no path, and on nothing but what
    decides the shard's bytes and index. In a `part` for a worker, `shards` holds that one shard
    only.
    """

    dataset: str
    task: Task
    images_dir: str
    test_images_dir: str
    files_dir: str
    receipts_dir: str
    spool_path: str | None
    options: ImageOptions
    fingerprints: tuple[str, ...]
    shards: dict[int, ShardRows]

    def part(self, index: int) -> "Plan":
        """This plan with shard `index` alone, small enough to send to a worker."""
        return dataclasses.replace(self, shards={index: self.shards[index]})

    def file_name(self, index: int) -> str:
        """TFDS's name of a shard's file."""
        rows = self.shards[index]
        return shard_file_name(self.dataset, rows.split, rows.index, rows.count)


def shard_file_name(dataset: str, split: str, index: int, count: int) -> str:
    """TFDS's name of a shard's file."""
    return f"{dataset}-{split}.tfrecord-{index:05d}-of-{count:05d}"


def hashed_order(ids: Sequence[str], split: str, seed: int) -> np.ndarray:
    """int64 [n]: the rows in the order of a keyed hash of (seed, split, id), which looks random.

    The place of an id relative to another depends on these three alone, not on the other rows.
    """
    key = f"{seed}\0{split}\0".encode()
    hashes = [hashlib.blake2b(key + image_id.encode(), digest_size=16).digest() for image_id in ids]
    return np.asarray(sorted(range(len(ids)), key=lambda row: (hashes[row], ids[row])), np.int64)


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


def fingerprint_shard(plan: Plan, rows: ShardRows, left_out: Container[str] = ()) -> str:
    """SHA-256 (hex) of all that decides a shard's bytes and its part of the index.

    Without the options named in `left_out`: what it was before there were these.
    """
    digest = hashlib.sha256()
    options = dataclasses.asdict(plan.options).items()
    head = [
        FORMAT_VERSION,
        plan.dataset,
        plan.task,
        {k: v for k, v in options if k not in left_out} if rows.reencode.any() else None,
        [rows.split, rows.index, rows.count],
        rows.ids,
        rows.files,
    ]
    digest.update(json.dumps(head, sort_keys=True).encode())
    for array in (rows.csv_rows, rows.targets, rows.sha256, rows.reencode):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def check_splits(splits: dict[str, np.ndarray]) -> None:
    """Refuse a plan with a split that would be empty."""
    for split, rows in splits.items():
        if not len(rows):
            advice = (
                "no row of --test_csv is usable: mend it, or leave it out"
                if split == "test"
                else "there are too few rows (or groups of rows) for it: use fewer folds or "
                "another --eval_fraction"
            )
            raise OrchardError(f"the split {split!r} would be empty; {advice}")
