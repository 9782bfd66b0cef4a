"""What a worker process does to check images; imports no TensorFlow."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import google_crc32c
import numpy as np

from data_prep.images import (
    ODD_JPEG,
    PASS,
    REENCODE,
    ImageOptions,
    SourceProblem,
    check_pixels,
    difference_hash,
    image_source,
    inspect_image,
    record_jpeg,
)

# Local files up to this size are kept in the spool, from which the shards are written: opening one
# again costs as much as all the rest that is done to it. Of gs:// all are: a second request would
# cost more.
_SPOOL_FILE_BYTES = 16 << 10
_SPOOL_WRITE_BYTES = 4 << 20
_UNDECODABLE = "undecodable image"

# What the check finds out about each file; all zero, and not in the spool, where it cannot be read.
FACTS_DTYPE = np.dtype(
    [
        ("kind", "U13"),  # `images.ImageFacts.kind`
        ("odd", "?"),  # whether decoders warn of bytes that they skip, as far as is known
        ("reencode", "?"),  # whether the record holds another JPEG than the file
        ("width_px", "<i4"),
        ("height_px", "<i4"),
        ("num_bytes", "<i8"),
        ("mtime_ns", "<i8"),
        ("crc32c", "<u4"),
        ("sha256", "V32"),
        ("record_bytes", "<i8"),  # of the JPEG in the record; 0: not known yet
        ("spool_offset", "<i8"),  # -1: not in the spool
        ("difference_hash", "V16"),
    ]
)


@dataclass(frozen=True)
class Spool:
    """A part of a file in which one task keeps the bytes of its small files."""

    path: str
    offset: int
    num_bytes: int


@dataclass(frozen=True)
class CheckTask:
    """Some files of one folder to check.

    `sample` are the positions of those that are converted on trial, to estimate the dataset's size.
    """

    images_dir: str
    files: tuple[str, ...]
    options: ImageOptions
    decode_check: bool = False
    near_duplicates: bool = False
    follow_symlinks: bool = False
    sample: frozenset[int] = frozenset()
    spool: Spool | None = None


class FileProblem(NamedTuple):
    """Why the file at a position of the task cannot be used."""

    position: int
    kind: str
    detail: str


@dataclass(frozen=True)
class CheckResult:
    """Facts, FACTS_DTYPE [files], and the problems of those that cannot be used."""

    facts: np.ndarray
    problems: tuple[FileProblem, ...]


def hex_digests(digests: np.ndarray) -> np.ndarray:
    """The hexadecimal form of digests, V [n] of any size: S [n] of twice that."""
    return np.frombuffer(digests.tobytes().hex().encode(), f"S{2 * digests.dtype.itemsize}")


def check_files(task: CheckTask) -> CheckResult:
    """Read, hash and inspect each file of a task."""
    source = image_source(task.images_dir, task.follow_symlinks)
    facts = np.zeros(len(task.files), FACTS_DTYPE)
    facts["spool_offset"] = -1
    problems = []
    with _spool_writer(task.spool) as spool:
        for position, found in enumerate(source.read_many(task.files)):
            if isinstance(found, SourceProblem):
                problems.append(FileProblem(position, found.kind, found.detail))
                continue
            fact = facts[position]  # A view: what is assigned to its fields is in `facts`.
            fact["mtime_ns"] = found.mtime_ns
            problem = _check_content(found.data, task, position in task.sample, fact)
            if problem:
                kind, detail = problem
                problems.append(FileProblem(position, kind, f"{task.files[position]}: {detail}"))
            if source.remote or len(found.data) <= _SPOOL_FILE_BYTES:
                fact["spool_offset"] = spool.add(found.data)
    if not spool.intact:
        facts["spool_offset"] = -1
    return CheckResult(facts, tuple(problems))


def _check_content(
    data: bytes, task: CheckTask, sampled: bool, fact: np.void
) -> tuple[str, str] | None:
    """Fill in what the bytes say; the kind and detail of what is wrong with them, or None."""
    found = inspect_image(data, task.options)
    fact["kind"], fact["reencode"] = found.kind, found.action == REENCODE
    fact["width_px"], fact["height_px"] = found.width_px, found.height_px
    fact["num_bytes"], fact["crc32c"] = len(data), google_crc32c.value(data)
    fact["sha256"] = hashlib.sha256(data).digest()
    fact["record_bytes"] = len(data) if found.action == PASS else 0
    if found.problem:
        return found.problem
    try:
        # Whether what follows odd bytes is whole only the pixels show.
        fact["odd"] = found.kind == ODD_JPEG
        if task.decode_check or fact["odd"]:
            checked = check_pixels(data)
            if checked.problem:
                return _UNDECODABLE, checked.problem
            fact["odd"] |= checked.odd
        if sampled and found.action == REENCODE:
            fact["record_bytes"] = len(record_jpeg(data, task.options))
        if task.near_duplicates:
            fact["difference_hash"] = difference_hash(data)
    except ValueError as error:
        return _UNDECODABLE, str(error)
    return None


class _NoSpool:
    """Keeps nothing."""

    intact = True

    def add(self, data: bytes) -> int:
        return -1


class _SpoolWriter:
    """Fills one task's part of the spool, which only saves time: on a full disk it does without."""

    def __init__(self, spool: Spool) -> None:
        self._handle = os.open(spool.path, os.O_WRONLY | os.O_CLOEXEC)
        self._end = spool.offset + spool.num_bytes
        self._written = self._next = spool.offset
        self._waiting: list[bytes] = []
        self.intact = True

    def add(self, data: bytes) -> int:
        """Where the spool will have it; -1 when there is no room left."""
        if self._next + len(data) > self._end:
            return -1
        offset, self._next = self._next, self._next + len(data)
        self._waiting.append(data)
        if self._next - self._written >= _SPOOL_WRITE_BYTES:
            self._flush()
        return offset

    def close(self) -> None:
        self._flush()
        os.close(self._handle)

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        try:
            self.intact &= os.pwrite(self._handle, data, self._written) == len(data)
        except OSError:
            # The disk is full: writing the shards will fail and report it.
            self.intact = False
        self._waiting, self._written = [], self._next


@contextmanager
def _spool_writer(spool: Spool | None) -> Iterator[_SpoolWriter | _NoSpool]:
    if spool is None:
        yield _NoSpool()
        return
    writer = _SpoolWriter(spool)
    try:
        yield writer
    finally:
        writer.close()
