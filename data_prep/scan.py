"""The pre-flight: look at every image once, before anything is written; imports no TensorFlow."""

import functools
import hashlib
import os
from dataclasses import dataclass

import google_crc32c
import numpy as np

from data_prep import images
from data_prep.images import ImageOptions
from data_prep.perceptual import difference_hash
from data_prep.source import ImageSource, SourceProblem

# Files up to this size are kept in the spool between the two passes: opening one costs as much as
# all the rest that is done to it.
_SPOOL_FILE_BYTES = 16 << 10

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
    spooled: list[bytes] = []
    spool_free = task.spool.num_bytes if task.spool else 0
    spool_at = task.spool.offset if task.spool else 0
    for position, found in enumerate(source.read_many(task.files)):
        if isinstance(found, SourceProblem):
            problems.append((position, found.kind, found.detail))
            rows.append(("", False, 0, 0, 0, 0, 0, b"\0" * 32, 0, -1, b"\0" * 16))
            continue
        data, mtime_ns = found
        facts, record_bytes, problem, perceptual = _examine(data, task, position in task.sample)
        if problem:
            problems.append((position, problem[0], f"{task.files[position]}: {problem[1]}"))
        spool_offset = -1
        size = len(data)
        if size <= _SPOOL_FILE_BYTES and size <= spool_free:
            spooled.append(data)
            spool_offset, spool_at, spool_free = spool_at, spool_at + size, spool_free - size
        rows.append(
            (
                facts.kind,
                facts.action == images.REENCODE,
                facts.width_px,
                facts.height_px,
                size,
                mtime_ns,
                google_crc32c.value(data),
                hashlib.sha256(data).digest(),
                record_bytes,
                spool_offset,
                perceptual,
            )
        )
    facts = np.array(rows, SCAN_DTYPE)
    if spooled and not _write_spool(task.spool, b"".join(spooled)):
        facts["spool_offset"] = -1
    return ScanResult(facts, tuple(problems))


def _examine(
    data: bytes, task: ScanTask, sampled: bool
) -> tuple[images.ImageFacts, int, tuple[str, str] | None, bytes]:
    """Facts, bytes in the record (0: unknown), problem, perceptual hash."""
    facts = images.inspect(data, task.options)
    record_bytes = len(data) if facts.action == images.PASS else 0
    perceptual = b"\0" * 16
    problem = facts.problem
    try:
        if not problem and task.decode_check and (reason := images.decode_problem(data)):
            problem = ("undecodable image", reason)
        if not problem and sampled and facts.action == images.REENCODE:
            record_bytes = len(images.record_jpeg(data, task.options))
        if not problem and task.near_duplicates:
            perceptual = difference_hash(data)
    except ValueError as error:
        problem = ("undecodable image", str(error))
    return facts, record_bytes, problem, perceptual


def _write_spool(spool: Spool, data: bytes) -> bool:
    """Whether there was room: the spool only saves time; the shards tell of a full disk."""
    handle = os.open(spool.path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        return os.pwrite(handle, data, spool.offset) == len(data)
    except OSError:
        return False
    finally:
        os.close(handle)
