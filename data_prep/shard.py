"""Writes one shard and its receipt: a pure function of its task; imports no TensorFlow."""

import functools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import google_crc32c
import numpy as np

from data_prep.base import ANEW
from data_prep.images import ImageOptions, SourceProblem, image_source, record_jpeg, thumbnail
from data_prep.plan import OldRecords, PlannedShard
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    DAMAGED,
    Place,
    RecordWriter,
    Targets,
    Task,
    crc32c,
    record_format,
    tfrecord,
)

_WRITE_BUFFER_BYTES = 1 << 20
_LARGE_PIECE_BYTES = 1 << 17


@dataclass(frozen=True)
class Receipt:
    """What was written: file, bytes, crc32c, each record's length and image checksum.

    `fingerprint` is the planned shard's: a receipt with another one is worth nothing.
    """

    fingerprint: str
    file: str
    num_bytes: int
    crc32c: int
    lengths: tuple[int, ...]
    image_crc32c: tuple[int, ...]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Receipt":
        """The receipt that `vars` made and JSON kept.

        Raises:
            TypeError or KeyError: it is none.
        """
        lists = {name: tuple(value[name]) for name in ("lengths", "image_crc32c")}
        return cls(**(value | lists))


@dataclass(frozen=True)
class WrittenShard:
    """A shard that is written: its receipt, and thumbnails of its `pictured` records."""

    receipt: Receipt
    thumbnails: tuple[bytes, ...]


@dataclass(frozen=True)
class ShardTask:
    """A planned shard, and where to read its images and to write it.

    Attributes:
        shard: what to write.
        task: what its targets mean.
        options: how images become records.
        images_dir: where the files lie.
        spool_path: where the check kept the bytes of small files; empty: nowhere.
        files_dir, receipts_dir: where to write the shard and its receipt.
        follow_symlinks: whether links may lead out of `images_dir`.
        base_dir: the version that has the shard's old records; empty: there are none.
    """

    shard: PlannedShard
    task: Task
    options: ImageOptions
    images_dir: str
    spool_path: str
    files_dir: str
    receipts_dir: str
    follow_symlinks: bool = False
    base_dir: str = ""


def receipt_path(receipts_dir: str, file: str) -> str:
    """Where the receipt of a shard's file lies."""
    return storage.join(receipts_dir, file + ".json")


def read_receipt(receipts_dir: str, shard: PlannedShard) -> Receipt | None:
    """The receipt of a shard; None when there is none that can be read, or it is another plan's."""
    path = receipt_path(receipts_dir, shard.file)
    if not storage.exists(path):
        return None
    try:
        receipt = Receipt.from_json(storage.read_json(path))
    except (OrchardError, TypeError, KeyError):
        return None
    return receipt if receipt.fingerprint == shard.fingerprint else None


def receipt_of_taken_over(shard: PlannedShard) -> Receipt:
    """The receipt of a shard that is taken over, by the index and manifest of its version."""
    assert shard.old is not None
    return Receipt(
        fingerprint=shard.fingerprint,
        file=shard.file,
        num_bytes=shard.old.shard.num_bytes,
        crc32c=shard.old.shard.crc32c,
        lengths=tuple(shard.old.lengths.tolist()),
        image_crc32c=tuple(shard.crc32c.tolist()),
    )


def write_shard(task: ShardTask) -> WrittenShard:
    """Write a shard, then its receipt.

    Both appear whole or not at all, unless the machine crashes: that they survive a power cut is
    seen to when the dataset is published. Memory: one image, whatever the shard's size.

    Raises:
        OrchardError: an image is not what the check saw, cannot be decoded, or the disk refuses.
    """
    shard = task.shard
    lengths, image_crcs, thumbnails = [], [], []
    pictured = set(shard.pictured)
    with storage.writing(storage.join(task.files_dir, shard.file), shard.fingerprint) as output:
        writer = _ChecksumWriter(output)
        contents = _contents(task) if shard.old is None else _old_contents(task, shard.old)
        with record_format(shard.file).writing(writer) as records:
            for position, jpeg in enumerate(contents):
                crc = int(shard.crc32c[position])
                if shard.reencode[position]:
                    jpeg = _convert(jpeg, task, position)
                    crc = google_crc32c.value(jpeg)
                rest = _rest_of_example(shard.ids[position], shard.targets, position, task.task)
                lengths.append(_write_record(records, crc32c.Summed(jpeg, crc), rest))
                image_crcs.append(crc)
                if position in pictured:
                    thumbnails.append(thumbnail(jpeg))
        writer.flush()
    receipt = Receipt(
        fingerprint=shard.fingerprint,
        file=shard.file,
        num_bytes=writer.num_bytes,
        crc32c=writer.crc32c,
        lengths=tuple(lengths),
        image_crc32c=tuple(image_crcs),
    )
    # Compact: a receipt holds two numbers a record. What a crash of the machine leaves of it is
    # compared with the shard's bytes, as any receipt is.
    text = json.dumps(vars(receipt)).encode()
    storage.write_bytes(receipt_path(task.receipts_dir, shard.file), text, durable=False)
    return WrittenShard(receipt, tuple(thumbnails))


def read_thumbnails(
    files_dir: str, written: list[tuple[PlannedShard, Receipt]]
) -> list[WrittenShard]:
    """Shards that an earlier run wrote to `files_dir`, with thumbnails made from their records."""
    if not written:
        return []
    form = record_format(written[0][0].file)
    places = []
    for shard, receipt in written:
        offsets = form.offsets(np.asarray(receipt.lengths))
        file = storage.join(files_dir, shard.file)
        for position in shard.pictured:
            places.append(Place(file, int(offsets[position]), receipt.lengths[position]))
    payloads = iter(form.read_few(places))
    return [
        WrittenShard(receipt, tuple(_thumbnail(next(payloads), shard.file) for _ in shard.pictured))
        for shard, receipt in written
    ]


def _thumbnail(payload: bytes, file: str) -> bytes:
    if payload == DAMAGED:
        raise OrchardError(f"{file} was damaged a moment ago; run the command again")
    return thumbnail(tfrecord.Example(payload).bytes_of("image"))


def _write_record(records: RecordWriter, jpeg: crc32c.Summed, rest: bytes) -> int:
    """Write one record; returns its length."""
    num_bytes = len(jpeg.data)
    head = tfrecord.example_head("image", num_bytes, len(rest))
    records.write(head, jpeg, rest)
    return len(head) + num_bytes + len(rest)


def _rest_of_example(image_id: str, targets: Targets, position: int, task: Task) -> bytes:
    """The features after `image`, in the order of their names."""
    value = targets.values[position]
    labels = (
        tfrecord.int64_entry("label", [int(value)])
        if targets.are_classes
        else _labels(value.tobytes(), task)
    )
    return tfrecord.bytes_entry("image_id", image_id.encode()) + labels


@functools.lru_cache(maxsize=4096)
def _labels(target: bytes, task: Task) -> bytes:
    """The features `label` or `labels`, and `target`: most records share theirs with others."""
    values = np.frombuffer(target, np.float32)
    unlabeled = values[0] < 0
    if task == Task.SINGLE_LABEL:
        labels = tfrecord.int64_entry("label", [-1 if unlabeled else int(values.argmax())])
    else:
        present = [] if unlabeled else np.flatnonzero(values >= 0.5).tolist()
        labels = tfrecord.int64_entry("labels", present)
    return labels + tfrecord.float_entry("target", values)


def _convert(data: bytes, task: ShardTask, position: int) -> bytes:
    try:
        return record_jpeg(data, task.options)
    except ValueError as error:
        raise OrchardError(
            f"{_row(task.shard, position)}: cannot be decoded ({error}); run with --decode_check "
            "to find all such images before anything is written"
        ) from error


def _contents(task: ShardTask) -> Iterator[bytes]:
    """Each row's file, verified to be what the check saw."""
    shard = task.shard
    source = image_source(task.images_dir, task.follow_symlinks)
    starts, sizes, crcs = (
        array.tolist() for array in (shard.spool_offset, shard.num_bytes, shard.crc32c)
    )
    unspooled = [file for file, start in zip(shard.files, starts, strict=True) if start < 0]
    others = source.read_many(unspooled)
    for position, (start, size, crc) in enumerate(zip(starts, sizes, crcs, strict=True)):
        if start >= 0:
            data = os.pread(_spool(task.spool_path), size, start)
        else:
            found = next(others)
            if isinstance(found, SourceProblem):
                raise OrchardError(
                    f"{found.detail} (it was there a moment ago); run the command again"
                ) from found
            data = found.data
        if len(data) != size or google_crc32c.value(data) != crc:
            raise OrchardError(
                f"{_row(shard, position)}: the file changed while the dataset was being written; "
                "run the command again"
            )
        yield data


def _old_contents(task: ShardTask, old: OldRecords) -> Iterator[bytes]:
    """The JPEG of each record, out of the older version, verified to be what its index says."""
    path = storage.join(task.base_dir, old.shard.file)
    wanted = zip(old.positions.tolist(), task.shard.crc32c.tolist(), strict=True)
    position, crc = next(wanted)
    with storage.reading(path) as file:
        for at, frame in enumerate(record_format(path).scan(file, path)):
            if at != position:
                continue
            jpeg = tfrecord.Example(frame.payload).bytes_of("image")
            if google_crc32c.value(jpeg) != crc:
                break
            yield jpeg
            position, crc = next(wanted, (-1, 0))
            if position < 0:
                return
    raise OrchardError(
        f"{path}, record {position}: the image is not what the index says; check {task.base_dir} "
        f"with data_prep.verify, or {ANEW}"
    )


def _row(shard: PlannedShard, position: int) -> str:
    return f"row {shard.csv_rows[position]}, {shard.files[position]!r}"


@functools.lru_cache(maxsize=2)
def _spool(path: str) -> int:
    """A file descriptor of the spool, open as long as the worker lives."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


class _ChecksumWriter:
    """Counts and checksums what it writes: small pieces together, large ones without a copy.

    Of large ones whose checksum is known no byte is read for it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._pieces: list[bytes] = []
        self._gathered_bytes = 0
        self.num_bytes = 0
        self.crc32c = 0

    def write(self, *pieces: crc32c.Piece) -> None:
        for piece in pieces:
            data = crc32c.data_of(piece)
            if len(data) >= _LARGE_PIECE_BYTES:
                self.flush()
                self._put(piece)
                continue
            self._pieces.append(data)
            self._gathered_bytes += len(data)
        if self._gathered_bytes >= _WRITE_BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        self._put(b"".join(self._pieces))
        self._pieces, self._gathered_bytes = [], 0

    def _put(self, piece: crc32c.Piece) -> None:
        data = crc32c.data_of(piece)
        self._file.write(data)
        self.crc32c = crc32c.extend(self.crc32c, piece)
        self.num_bytes += len(data)
