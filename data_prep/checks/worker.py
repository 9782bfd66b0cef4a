"""The pre-flight: look at every image once, before anything is written; imports no TensorFlow."""

import functools
import hashlib
import os
from dataclasses import dataclass

import google_crc32c
import numpy as np

from data_prep.images import (
    PASS,
    REENCODE,
    ImageFacts,
    ImageOptions,
    ImageSource,
    SourceProblem,
    decode_problem,
    difference_hash,
    inspect_image,
    record_jpeg,
)

# Local files up to this size are kept in the spool between the two passes: opening one costs as
# much as all the rest that is done to it. Of gs:// all are: the second request would cost more.
_SPOOL_FILE_BYTES = 16 << 10
_SPOOL_WRITE_BYTES = 4 << 20

SCAN_DTYPE = np.dtype(
    [
        ("kind", "U13"),  # `images.ImageFacts.kind`
        ("reencode", "?"),
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
class ScanTask:
    """Some files to look at.

    `sample` are the positions of those that are converted on trial, to estimate the dataset's size.
    """

    root: str
    files: tuple[str, ...]
    options: ImageOptions
    decode_check: bool = False
    near_duplicates: bool = False
    sample: frozenset[int] = frozenset()
    spool: Spool | None = None


@dataclass(frozen=True)
class ScanResult:
    """Facts: SCAN_DTYPE [files]; problems: (position, kind, detail) of the unusable ones."""

    facts: np.ndarray
    problems: tuple[tuple[int, str, str], ...]


def hex_digests(digests: np.ndarray) -> np.ndarray:
    """S64 [n]: the hexadecimal form of V32 [n]."""
    return np.frombuffer(digests.tobytes().hex().encode(), "S64")


@functools.lru_cache(maxsize=4)
def image_source(root: str) -> ImageSource:
    """One source a process, which remembers the folders that it found safe."""
    return ImageSource(root)


def scan(task: ScanTask) -> ScanResult:
    """Read, hash and inspect each file of a task."""
    source = image_source(task.root)
    rows, problems = [], []
    spool = _SpoolWriter(task.spool) if task.spool else None
    for position, found in enumerate(source.read_many(task.files)):
        if isinstance(found, SourceProblem):
            problems.append((position, found.kind, found.detail))
            rows.append(("", False, 0, 0, 0, 0, 0, b"\0" * 32, 0, -1, b"\0" * 16))
            continue
        data, mtime_ns = found
        facts, record_bytes, problem, perceptual = _examine(data, task, position in task.sample)
        if problem:
            problems.append((position, problem[0], f"{task.files[position]}: {problem[1]}"))
        keep = spool and (source.remote or len(data) <= _SPOOL_FILE_BYTES)
        rows.append(
            (
                facts.kind,
                facts.action == REENCODE,
                facts.width_px,
                facts.height_px,
                len(data),
                mtime_ns,
                google_crc32c.value(data),
                hashlib.sha256(data).digest(),
                record_bytes,
                spool.add(data) if keep else -1,
                perceptual,
            )
        )
    facts = np.array(rows, SCAN_DTYPE)
    if spool and not spool.close():
        facts["spool_offset"] = -1
    return ScanResult(facts, tuple(problems))


def _examine(
    data: bytes, task: ScanTask, sampled: bool
) -> tuple[ImageFacts, int, tuple[str, str] | None, bytes]:
    """Facts, bytes in the record (0: unknown), problem, perceptual hash."""
    facts = inspect_image(data, task.options)
    record_bytes = len(data) if facts.action == PASS else 0
    perceptual = b"\0" * 16
    problem = facts.problem
    try:
        if not problem and task.decode_check and (reason := decode_problem(data)):
            problem = ("undecodable image", reason)
        if not problem and sampled and facts.action == REENCODE:
            record_bytes = len(record_jpeg(data, task.options))
        if not problem and task.near_duplicates:
            perceptual = difference_hash(data)
    except ValueError as error:
        problem = ("undecodable image", str(error))
    return facts, record_bytes, problem, perceptual


class _SpoolWriter:
    """Fills one task's part of the spool, which only saves time: a full disk ends it quietly."""

    def __init__(self, spool: Spool) -> None:
        self._handle = os.open(spool.path, os.O_WRONLY | os.O_CLOEXEC)
        self._end = spool.offset + spool.num_bytes
        self._written = self._next = spool.offset
        self._waiting: list[bytes] = []
        self._intact = True

    def add(self, data: bytes) -> int:
        """Where the spool will have it; -1 when there is no room left."""
        if self._next + len(data) > self._end:
            return -1
        at, self._next = self._next, self._next + len(data)
        self._waiting.append(data)
        if self._next - self._written >= _SPOOL_WRITE_BYTES:
            self._flush()
        return at

    def close(self) -> bool:
        """Whether all of it is there."""
        self._flush()
        os.close(self._handle)
        return self._intact

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        try:
            self._intact &= os.pwrite(self._handle, data, self._written) == len(data)
        except OSError:
            # The shards tell of a full disk.
            self._intact = False
        self._waiting, self._written = [], self._next
