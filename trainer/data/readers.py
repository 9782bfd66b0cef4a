"""Records at any position, from local files or from memory: bytes in, checked bytes out."""

import functools
import os
import resource
import struct
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import google_crc32c
import numpy as np

from orchard.errors import OrchardError
from orchard.formats import ARRAY_RECORD, DAMAGED, Place, record_format, tfrecord
from trainer.data.records import RecordTable

_CRC = struct.Struct("<I")
# One source keeps a quarter of the files open that a process may have: there are several sources.
_SHARE_OF_OPEN_FILES = 4


class Spot(NamedTuple):
    """Where a record lies: position of its file, offset as in the table, bytes of the message."""

    file: int
    offset: int
    length: int


class Source(ABC):
    """Where the records of a table's files come from; for any number of threads."""

    @abstractmethod
    def read_records(self, spots: Sequence[Spot]) -> list[bytes]:
        """Checked records; `DAMAGED` where the checksum fails or the file ends early."""


def open_source(files: Sequence[str], contents: Sequence[bytes] | None = None) -> Source:
    """The source of local files of one form.

    Args:
        files: their paths.
        contents: what they hold, where it is in memory already.

    Raises:
        OrchardError: a file can't be read.
    """
    if files and record_format(files[0]) is ARRAY_RECORD:
        return ArrayRecordSource(files, contents)
    return FileSource(files) if contents is None else MemorySource(contents)


class _Frames(Source):
    """TFRecord files."""

    @abstractmethod
    def read(self, file: int, offset: int, num_bytes: int) -> bytes:
        """Reads a range of one file; fewer bytes where the file ends."""

    def read_records(self, spots: Sequence[Spot]) -> list[bytes]:
        """Records, each checked against its crc32c."""
        return [self._read_record(*spot) for spot in spots]

    def _read_record(self, file: int, offset: int, length: int) -> bytes:
        # Payload and checksum are read one after the other: cutting them apart would copy the
        # payload.
        start = offset + tfrecord.HEADER_BYTES
        payload = self.read(file, start, length)
        footer = self.read(file, start + length, _CRC.size)
        if len(footer) < _CRC.size:
            return DAMAGED
        intact = _CRC.unpack(footer)[0] == tfrecord.mask(google_crc32c.value(payload))
        return payload if intact else DAMAGED


class FileSource(_Frames):
    """Local TFRecord files, read by position from any number of threads.

    Each is opened once, as far as the limit of open files leaves room for all else; the others are
    opened at each reading.
    """

    def __init__(self, files: Sequence[str]):
        self._files = files
        self._descriptors: list[int] = []
        _close_with(self, self._descriptors)
        most = _most_open_files()
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
        _close_all(self._descriptors)


class MemorySource(_Frames):
    """Whole TFRecord files held in memory: encoded bytes, never pixels."""

    def __init__(self, files: Sequence[bytes]):
        self._files = files

    def read(self, file: int, offset: int, num_bytes: int) -> bytes:
        """Reads a range of one file; fewer bytes where the file ends."""
        return self._files[file][offset : offset + num_bytes]


class ArrayRecordSource(Source):
    """ArrayRecord files, on disk or held in memory; the package's own reader checks each record.

    As many are kept open as `FileSource` keeps.
    """

    def __init__(self, files: Sequence[str], contents: Sequence[bytes] | None = None) -> None:
        self._held: list[int] = []
        _close_with(self, self._held)
        for content in contents or ():
            self._held.append(_hold(content))
        # The package reads paths alone; these lead to memory.
        held = [f"/dev/fd/{descriptor}" for descriptor in self._held]
        paths = files if contents is None else held

        def open_shard(file: int) -> Any:
            return ARRAY_RECORD.open(paths[file], f"shard {files[file]}")

        self._reader = functools.lru_cache(maxsize=_most_open_files())(open_shard)
        for position in range(len(files)):
            self._reader(position)

    def read_records(self, spots: Sequence[Spot]) -> list[bytes]:
        """Records, those of one file in one call."""
        found = [DAMAGED] * len(spots)
        by_file: dict[int, list[int]] = {}
        for position, spot in enumerate(spots):
            by_file.setdefault(spot.file, []).append(position)
        for file, positions in by_file.items():
            numbers = [spots[position].offset for position in positions]
            records = ARRAY_RECORD.read(self._reader(file), numbers)
            for position, record in zip(positions, records, strict=True):
                found[position] = record
        return found


def _close_with(owner: object, descriptors: list[int]) -> None:
    """Close the files once nobody has their owner any more.

    Not at the exit: TensorFlow's threads may read then, and the system closes what is left.
    """
    weakref.finalize(owner, _close_all, descriptors).atexit = False


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _hold(content: bytes) -> int:
    """A descriptor of a file in memory."""
    descriptor = os.memfd_create("orchard")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return descriptor


def _most_open_files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE_OF_OPEN_FILES


def read_records(source: Source, records: RecordTable, gids: np.ndarray) -> list[bytes]:
    """Reads serialized tf.train.Examples, each checked against its crc32c.

    One call a batch: a Python call a record costs more than the reading.

    Returns:
        One entry a gid; `DAMAGED` where the checksum fails or the file ends early.
    """
    columns = (records.file_index, records.offsets, records.lengths)
    return source.read_records([*map(Spot, *(column[gids].tolist() for column in columns))])


def read_few(records: RecordTable, gids: Iterable[int]) -> list[bytes]:
    """As `read_records`, of a few records wherever the files are, also on gs://."""
    places = [
        Place(
            records.files[records.file_index[gid]],
            int(records.offsets[gid]),
            int(records.lengths[gid]),
        )
        for gid in gids
    ]
    return records.form.read_few(places)
