"""Writes one shard and its receipt: a pure function of (plan, index); imports no TensorFlow."""

import functools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np

from data_prep.checks import image_source
from data_prep.images import SourceProblem, record_jpeg, thumbnail
from data_prep.plan import Plan, ShardRows
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Task, tfrecord

_WRITE_BUFFER_BYTES = 1 << 20
_LARGE_PIECE_BYTES = 1 << 17


@dataclass(frozen=True)
class Receipt:
    """What was written: file, bytes, crc32c, each record's length and image checksum.

    `fingerprint` is the plan's for this shard: a receipt that bears another one is worth nothing.
    """

    fingerprint: str
    file: str
    num_bytes: int
    crc32c: int
    lengths: tuple[int, ...]
    image_crc32c: tuple[int, ...]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Receipt":
        """The receipt of which `vars` were written as JSON; TypeError or KeyError: it is none."""
        lists = {name: tuple(value[name]) for name in ("lengths", "image_crc32c")}
        return cls(**(value | lists))


@dataclass(frozen=True)
class WrittenShard:
    """What `write_shard` hands back: the receipt, and thumbnails of the plan's `pictured`."""

    receipt: Receipt
    thumbnails: tuple[bytes, ...]


def receipt_path(plan: Plan, index: int) -> str:
    """Where the receipt of a shard lies."""
    return storage.join(plan.receipts_dir, plan.file_name(index) + ".json")


def read_receipt(plan: Plan, index: int) -> Receipt | None:
    """The receipt of a shard; None when there is none that can be read."""
    path = receipt_path(plan, index)
    if not storage.exists(path):
        return None
    try:
        return Receipt.from_json(storage.read_json(path))
    except (OrchardError, TypeError, KeyError):
        return None


def is_written(plan: Plan, index: int, receipt: Receipt | None) -> bool:
    """Whether a shard is there already and is, byte for byte, what its receipt and the plan say."""
    if receipt is None or receipt.fingerprint != plan.fingerprints[index]:
        return False
    path = storage.join(plan.files_dir, plan.file_name(index))
    return storage.size_and_crc32c(path) == (receipt.num_bytes, receipt.crc32c)


def write_shard(plan: Plan, index: int) -> WrittenShard:
    """Write shard `index` of `plan`, then its receipt.

    Both appear whole or not at all, unless the machine crashes: they are on the disk for good only
    once `Staging.commit` has seen to it. Memory: one image, whatever the shard's size.

    Raises:
      OrchardError: an image is not what the pre-flight saw, cannot be decoded, or the disk refuses.
    """
    rows = plan.shards[index]
    file = plan.file_name(index)
    lengths, image_crcs, thumbnails = [], [], []
    pictured = set(rows.pictured)
    path = storage.join(plan.files_dir, file)
    with storage.writing(path, plan.fingerprints[index]) as output:
        writer = _ChecksumWriter(output)
        for position, jpeg in enumerate(_contents(plan, rows)):
            crc = int(rows.crc32c[position])
            if rows.reencode[position]:
                jpeg = _convert(jpeg, plan, rows, position)
                crc = google_crc32c.value(jpeg)
            rest = _rest_of_example(rows.ids[position], rows.targets[position], plan.task)
            lengths.append(_write_record(writer, jpeg, rest))
            image_crcs.append(crc)
            if position in pictured:
                thumbnails.append(thumbnail(jpeg))
        writer.flush()
    receipt = Receipt(
        fingerprint=plan.fingerprints[index],
        file=file,
        num_bytes=writer.num_bytes,
        crc32c=writer.crc32c,
        lengths=tuple(lengths),
        image_crc32c=tuple(image_crcs),
    )
    # Compact: a receipt holds two numbers a record. What a crash of the machine leaves of it is
    # compared with the shard's bytes, as any receipt is.
    text = json.dumps(vars(receipt)).encode()
    storage.write_bytes(receipt_path(plan, index), text, durable=False)
    return WrittenShard(receipt, tuple(thumbnails))


def _write_record(writer: "_ChecksumWriter", jpeg: bytes, rest: bytes) -> int:
    """Write one frame; returns the length of its payload."""
    head = tfrecord.example_head("image", len(jpeg), len(rest))
    length = len(head) + len(jpeg) + len(rest)
    crc = google_crc32c.extend(google_crc32c.extend(google_crc32c.value(head), jpeg), rest)
    writer.write(tfrecord.frame_header(length) + head, jpeg, rest + tfrecord.frame_footer(crc))
    return length


def _rest_of_example(image_id: str, target: np.ndarray, task: Task) -> bytes:
    """The features after `image`, in the order of their names."""
    return tfrecord.bytes_entry("image_id", image_id.encode()) + _labels(target.tobytes(), task)


@functools.lru_cache(maxsize=4096)
def _labels(target: bytes, task: Task) -> bytes:
    """The features `label` or `labels`, and `target`: most records share theirs with others."""
    values = np.frombuffer(target, np.float32)
    unlabelled = values[0] < 0
    if task == Task.SINGLE_LABEL:
        labels = tfrecord.int64_entry("label", [-1 if unlabelled else int(values.argmax())])
    else:
        present = [] if unlabelled else np.flatnonzero(values >= 0.5).tolist()
        labels = tfrecord.int64_entry("labels", present)
    return labels + tfrecord.float_entry("target", values)


def _convert(data: bytes, plan: Plan, rows: ShardRows, position: int) -> bytes:
    try:
        return record_jpeg(data, plan.options)
    except ValueError as error:
        raise OrchardError(
            f"row {rows.csv_rows[position]}, {rows.files[position]!r}: cannot be decoded "
            f"({error}); run "
            "with --decode_check to find all such images before anything is written"
        ) from error


def _contents(plan: Plan, rows: ShardRows) -> Iterator[bytes]:
    """Each row's file, checked to be what the pre-flight saw."""
    source = image_source(plan.test_images_dir if rows.split == "test" else plan.images_dir)
    spool = _spool(plan.spool_path) if plan.spool_path else -1
    starts, sizes, crcs = rows.spool_offset.tolist(), rows.num_bytes.tolist(), rows.crc32c.tolist()
    others = source.read_many([f for f, start in zip(rows.files, starts, strict=True) if start < 0])
    for position, (start, size, crc) in enumerate(zip(starts, sizes, crcs, strict=True)):
        found = (os.pread(spool, size, start), 0) if start >= 0 else next(others)
        if isinstance(found, SourceProblem):
            raise OrchardError(
                f"{found.detail} (it was there a moment ago); run the command again"
            ) from found
        data = found[0]
        if len(data) != size or google_crc32c.value(data) != crc:
            raise OrchardError(
                f"row {rows.csv_rows[position]}, {rows.files[position]!r}: the file changed while "
                "the dataset was being written; run the command again"
            )
        yield data


@functools.lru_cache(maxsize=2)
def _spool(path: str) -> int:
    """Its descriptor, which lives as long as the worker."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


class _ChecksumWriter:
    """Counts and checksums what it writes: small pieces together, large ones without a copy."""

    def __init__(self, file) -> None:  # noqa: ANN001
        self._file = file
        self._pieces: list[bytes] = []
        self._gathered_bytes = 0
        self.num_bytes = 0
        self.crc32c = 0

    def write(self, *pieces: bytes) -> None:
        for piece in pieces:
            if len(piece) >= _LARGE_PIECE_BYTES:
                self.flush()
                self._put(piece)
                continue
            self._pieces.append(piece)
            self._gathered_bytes += len(piece)
        if self._gathered_bytes >= _WRITE_BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        self._put(b"".join(self._pieces))
        self._pieces, self._gathered_bytes = [], 0

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.crc32c = google_crc32c.extend(self.crc32c, data)
        self.num_bytes += len(data)
