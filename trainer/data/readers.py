"""Records at any position, from local files or from memory: bytes in, checked bytes out."""

import os
import resource
import struct
from collections.abc import Iterable, Sequence
from typing import Protocol

import google_crc32c
import numpy as np

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import tfrecord
from trainer.data.records import RecordTable

_HEADER_BYTES = 12
_CRC = struct.Struct("<I")
# What stands in for a record that fails its checksum: no image decoder accepts it.
DAMAGED = b""
# One source keeps a quarter of the files open that a process may have: there are several sources.
_SHARE_OF_OPEN_FILES = 4


class Source(Protocol):
    """Where the bytes of a table's files come from."""

    def read(self, file: int, offset: int, num_bytes: int) -> bytes:
        """Reads a range of one file; fewer bytes where the file ends."""


class FileSource:
    """Local files, read by position from any number of threads.

    Each is opened once, as far as the limit of open files leaves room for all else; the others are
    opened at each reading.
    """

    def __init__(self, files: Sequence[str]):
        self._files = files
        self._descriptors: list[int] = []
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE_OF_OPEN_FILES
        for position, path in enumerate(files):
            try:
                descriptor = os.open(path, os.O_RDONLY)
                if position < most:
                    self._descriptors.append(descriptor)
                else:
                    os.close(descriptor)
            except OSError as error:
                self.close()
                raise OrchardError(
                    f"shard {path} can't be read: {error.strerror}; verify the dataset"
                ) from error

    def read(self, file: int, offset: int, num_bytes: int) -> bytes:
        """Reads a range of one file; fewer bytes where the file ends."""
        if file < len(self._descriptors):
            return os.pread(self._descriptors[file], num_bytes, offset)
        descriptor = os.open(self._files[file], os.O_RDONLY)
        try:
            return os.pread(descriptor, num_bytes, offset)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Closes the files."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    __del__ = close


class MemorySource:
    """Whole files held in memory: encoded bytes, never pixels."""

    def __init__(self, files: Sequence[bytes]):
        self._files = files

    def read(self, file: int, offset: int, num_bytes: int) -> bytes:
        """Reads a range of one file; fewer bytes where the file ends."""
        return self._files[file][offset : offset + num_bytes]


def read_records(source: Source, records: RecordTable, gids: np.ndarray) -> list[bytes]:
    """Reads serialized tf.train.Examples, each checked against its crc32c.

    One call a batch: a Python call a record costs more than the reading.

    Returns:
        One entry a gid; `DAMAGED` where the checksum fails or the file ends early.
    """
    places = zip(
        records.file_index[gids].tolist(),
        records.offsets[gids].tolist(),
        records.lengths[gids].tolist(),
        strict=True,
    )
    return [_read(source, file, offset, length) for file, offset, length in places]


def read_few(records: RecordTable, gids: Iterable[int]) -> list[bytes]:
    """As `read_records`, of a few records wherever the files are, also on gs://."""
    ranges = [
        (
            records.files[records.file_index[gid]],
            int(records.offsets[gid]) + _HEADER_BYTES,
            int(records.lengths[gid]) + _CRC.size,
        )
        for gid in gids
    ]
    found = storage.read_ranges(ranges, tfrecord.is_intact)
    return [one[: -_CRC.size] if tfrecord.is_intact(one) else DAMAGED for one in found]


def _read(source: Source, file: int, offset: int, length: int) -> bytes:
    # Payload and checksum are read one after the other: cutting them apart would copy the payload.
    payload = source.read(file, offset + _HEADER_BYTES, length)
    footer = source.read(file, offset + _HEADER_BYTES + length, _CRC.size)
    if len(footer) < _CRC.size:
        return DAMAGED
    intact = _CRC.unpack(footer)[0] == tfrecord.mask(google_crc32c.value(payload))
    return payload if intact else DAMAGED
