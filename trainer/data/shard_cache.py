"""Whole shards, nearer than where they are kept: verified copies on a local disk, or in memory."""

import dataclasses
import os
import posixpath
import shutil
from collections.abc import Callable, Sequence
from typing import TypeVar

import google_crc32c
import psutil

from orchard import storage
from orchard.errors import OrchardError
from orchard.parallel import DaemonExecutor
from orchard.progress import Progress
from trainer.data.records import RecordTable

_PARALLEL_TRANSFERS = 4
# The rest is left to decoding, the network's process and the page cache.
_MEMORY_PART = 0.6
Result = TypeVar("Result")


def with_local_copies(records: RecordTable, cache_dir: str) -> RecordTable:
    """Copies the table's shards to a local directory; copies that are there already are kept.

    A copy appears under its name once all of it is on disk and has the checksum of the original, so
    that any number of processes can share the directory and a killed one leaves nothing half.

    Raises:
        OrchardError: the directory is remote, the shards don't fit the disk, or a copy is damaged.
    """
    if storage.is_remote(cache_dir):
        raise OrchardError(f"--cache_dir={cache_dir}: it must be a directory on a local disk")
    folder = os.path.join(cache_dir, records.fingerprint[:16])
    local = [os.path.join(folder, posixpath.basename(path)) for path in records.files]
    facts = _in_parallel(stat_shard, records.files, "checking shards")
    missing = [
        (path, copy, fact)
        for path, copy, fact in zip(records.files, local, facts, strict=True)
        if not (os.path.exists(copy) and os.path.getsize(copy) == fact.num_bytes)
    ]
    if missing:
        os.makedirs(folder, exist_ok=True)
        _check_room(folder, sum(fact.num_bytes for *_, fact in missing))
        _in_parallel(_copy, missing, f"copying shards to {folder}")
    return dataclasses.replace(records, files=tuple(local))


def in_memory(files: Sequence[str]) -> list[bytes]:
    """Reads whole files into memory.

    Raises:
        OrchardError: they don't fit.
    """
    total = sum(fact.num_bytes for fact in _in_parallel(stat_shard, files, "checking shards"))
    room = int(_MEMORY_PART * psutil.virtual_memory().available)
    if total > room:
        raise OrchardError(
            f"--cache=ram: the shards have {total / 1e9:.1f} GB, there is room for "
            f"{room / 1e9:.1f} GB; use --cache_dir, or no cache"
        )
    return _in_parallel(storage.read_bytes, files, "reading shards into memory")


def stat_shard(path: str) -> storage.FileInfo:
    """Size of a shard, and its crc32c where that is known without reading it."""
    found = storage.stat(path)
    if found is None:
        raise OrchardError(f"shard {path} is missing; verify the dataset")
    return found


def _copy(task: tuple[str, str, storage.FileInfo]) -> None:
    source, target, fact = task
    data = storage.read_bytes(source)
    crc = google_crc32c.value(data) if fact.crc32c is None else fact.crc32c
    # Compared before it gets its name: a later run goes by name and size alone.
    unchecked = f"{target}.{os.getpid()}.unchecked"
    try:
        storage.write_bytes(unchecked, data)
        if storage.size_and_crc32c(unchecked) != (fact.num_bytes, crc):
            raise OrchardError(
                f"the copy {target} differs from {source}; run again, or check the disk"
            )
        os.replace(unchecked, target)
    finally:
        storage.remove_tree(unchecked)


def _check_room(folder: str, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OrchardError(
            f"--cache_dir: the shards need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in "
            f"{folder}; choose a larger disk"
        )


def _in_parallel(task: Callable[..., Result], items: Sequence, description: str) -> list[Result]:
    with DaemonExecutor(_PARALLEL_TRANSFERS) as pool:
        results = pool.map(task, items)
        # A bar for what takes long; nothing flashes by for a few local files.
        return list(Progress(results, description, len(items), unit=" shards", delay=2))
