"""The forms of a dataset's record files: TFRecord, and ArrayRecord.

A TFRecord file is read from front to end, or at bytes that an index knows. An ArrayRecord file
holds the index itself: with the small package `array_record` and no TensorFlow, `tfds.data_source`
and grain read any record of it. What the records hold is the same.

TFDS names the form in a file's name, so a name is all that `record_format` needs.
"""

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from orchard import storage
from orchard.errors import OrchardError, in_one_line
from orchard.formats import crc32c, tfrecord
from orchard.formats.crc32c import Piece

# What stands in for a record that fails its checksum: no record is empty.
DAMAGED = b""


class Place(NamedTuple):
    """Where a record lies.

    Attributes:
        file: path of the file.
        offset: as `RecordFormat.offsets` counts.
        length: bytes of the message.
    """

    file: str
    offset: int
    length: int


class Output(Protocol):
    """An open file, or what stands for one."""

    def write(self, *pieces: Piece) -> None:
        """Write pieces one after the other."""


class RecordWriter(Protocol):
    """A record file that grows."""

    def write(self, *pieces: Piece) -> None:
        """Write one record, given in pieces."""


class RecordFormat(ABC):
    """One form of record files.

    Attributes:
        name: what TFDS calls it, in the files' names, too.
        media_type: for data catalogs.
        packages: those whose versions decide the files' bytes.
        tensorflow_reads: whether TensorFlow's own ops can read it.
        offset_name: what the index's `offset` is.
    """

    name: ClassVar[str]
    media_type: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    tensorflow_reads: ClassVar[bool]
    offset_name: ClassVar[str]

    @abstractmethod
    def check_installed(self) -> None:
        """Raise OrchardError when a package is missing that reads and writes such files."""

    @abstractmethod
    def offsets(self, lengths: np.ndarray) -> np.ndarray:
        """Where records of these lengths lie in a file that holds nothing else, int64 [n]."""

    @abstractmethod
    def ends(self, offsets: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The offsets of what follows each record, int64 [n]."""

    @abstractmethod
    def describe(self, offset: int) -> str:
        """An offset, for errors: "byte 1024"."""

    @abstractmethod
    def writing(self, output: Output) -> AbstractContextManager[RecordWriter]:
        """Open a file to write; all of it is in `output` once the block has ended well.

        Equal records give equal bytes.
        """

    @abstractmethod
    def scan(self, file: tfrecord.Reader, name: str) -> Iterator[tfrecord.Frame]:
        """Every record of a whole file, checked, with its offset.

        Args:
            file: the file, positioned at its beginning.
            name: what to call it in errors.

        Raises:
            OrchardError: a record is damaged, or the file is cut.
        """

    @abstractmethod
    def read_few(self, places: Sequence[Place]) -> list[bytes]:
        """A few records wherever the files are, also on gs://; `DAMAGED` for damaged ones."""


class _TFRecords(RecordFormat):
    name = "tfrecord"
    media_type = "application/x-tfrecord"
    tensorflow_reads = True
    offset_name = "byte offset"

    def check_installed(self) -> None:
        """Nothing is missing."""

    def offsets(self, lengths: np.ndarray) -> np.ndarray:
        frames = np.asarray(lengths, np.int64) + tfrecord.FRAME_OVERHEAD_BYTES
        return np.cumsum(frames) - frames

    def ends(self, offsets: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return offsets + lengths + tfrecord.FRAME_OVERHEAD_BYTES

    def describe(self, offset: int) -> str:
        return f"byte {offset}"

    @contextmanager
    def writing(self, output: Output) -> Iterator[RecordWriter]:
        yield _FrameWriter(output)

    def scan(self, file: tfrecord.Reader, name: str) -> Iterator[tfrecord.Frame]:
        return tfrecord.read_frames(file, name)

    def read_few(self, places: Sequence[Place]) -> list[bytes]:
        ranges = [
            (file, offset + tfrecord.HEADER_BYTES, length + tfrecord.FOOTER_BYTES)
            for file, offset, length in places
        ]
        # Together, since on gs:// each is a request.
        found = storage.read_ranges(ranges, tfrecord.is_intact)
        return [
            one[: -tfrecord.FOOTER_BYTES] if tfrecord.is_intact(one) else DAMAGED for one in found
        ]


class _FrameWriter:
    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, *pieces: Piece) -> None:
        crc, num_bytes = 0, 0
        for piece in pieces:
            crc = crc32c.extend(crc, piece)
            num_bytes += len(crc32c.data_of(piece))
        header = tfrecord.frame_header(num_bytes)
        self._output.write(header, *pieces, tfrecord.frame_footer(crc))


class _ArrayRecords(RecordFormat):
    """Files of github.com/google/array_record, each record in a chunk with its own checksum.

    Nothing is compressed: JPEGs do not get smaller, and the bytes do not depend on a compressor.
    """

    name = "array_record"
    media_type = "application/x-array-record"
    packages = ("array_record",)
    tensorflow_reads = False
    offset_name = "number in the file"

    _WRITE_OPTIONS = "group_size:1,uncompressed,max_parallelism:1"
    # What its documentation asks for where records are read at random.
    _READ_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"

    def check_installed(self) -> None:
        _array_record()

    def offsets(self, lengths: np.ndarray) -> np.ndarray:
        return np.arange(len(lengths), dtype=np.int64)

    def ends(self, offsets: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return offsets + 1

    def describe(self, offset: int) -> str:
        return f"number {offset}"

    @contextmanager
    def writing(self, output: Output) -> Iterator[RecordWriter]:
        # The package writes to paths of this machine alone. This one has no name: if the process
        # is killed, nothing is left.
        with tempfile.TemporaryFile(prefix="orchard-") as file:
            writer = _ArrayRecordWriter(_path_of(file), self._WRITE_OPTIONS)
            yield writer
            writer.close()
            while data := file.read(_COPIED_BYTES):
                output.write(data)

    def scan(self, file: tfrecord.Reader, name: str) -> Iterator[tfrecord.Frame]:
        with tempfile.TemporaryFile(prefix="orchard-") as copy:
            while data := file.read(_COPIED_BYTES):
                copy.write(data)
            copy.flush()
            reader = self.open(_path_of(copy), name)
            for number in range(reader.num_records()):
                try:
                    (payload,) = reader.read([number])
                except RuntimeError as error:
                    where = f"{name}, record {number}"
                    raise OrchardError(
                        f"{where}: the record does not match its checksum ({in_one_line(error)})"
                    ) from error
                yield tfrecord.Frame(number, payload)

    def read_few(self, places: Sequence[Place]) -> list[bytes]:
        found = [DAMAGED] * len(places)
        for file in dict.fromkeys(place.file for place in places):
            with storage.local_copy(file) as path:
                reader = self.open(path, file)
                for position, place in enumerate(places):
                    if place.file == file:
                        (found[position],) = self.read(reader, [place.offset])
        return found

    def open(self, path: str, name: str) -> Any:
        """The package's reader of a local file, which any number of threads may share.

        Raises:
            OrchardError: there is no such file, or it is cut.
        """
        reader = _array_record().ArrayRecordReader(path, self._READ_OPTIONS)
        if not reader.ok():
            try:
                reader.read([0])
            except RuntimeError as error:
                reason = in_one_line(error)
            raise OrchardError(f"{name} is no whole array_record file: {reason}")
        return reader

    def read(self, reader: Any, numbers: list[int]) -> list[bytes]:
        """Records of an open file by number; `DAMAGED` for damaged ones."""
        try:
            return reader.read(numbers)
        except RuntimeError:
            if len(numbers) == 1:
                return [DAMAGED]
        return [record for number in numbers for record in self.read(reader, [number])]


_COPIED_BYTES = 1 << 20


def _array_record() -> Any:
    """The package's module."""
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise OrchardError(
            "array_record files need the package array_record: run, in the folder where Orchard's "
            "setup.py is: pip install -e '.[array_record]'"
        ) from error
    return array_record_module


class _ArrayRecordWriter:
    def __init__(self, path: str, options: str) -> None:
        self._writer = _array_record().ArrayRecordWriter(path, options)

    def write(self, *pieces: Piece) -> None:
        with _translated():
            self._writer.write(b"".join(map(crc32c.data_of, pieces)))

    def close(self) -> None:
        with _translated():
            self._writer.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise OrchardError(
            f"a file in {tempfile.gettempdir()}: {in_one_line(error)}; set TMPDIR to a folder on a "
            "disk with room"
        ) from error


def _path_of(file: Any) -> str:
    """A path of a file that is open here, whether or not it has a name."""
    return os.path.join("/dev/fd", str(file.fileno()))


TFRECORD = _TFRecords()
ARRAY_RECORD = _ArrayRecords()
RECORD_FORMATS: dict[str, RecordFormat] = {one.name: one for one in (TFRECORD, ARRAY_RECORD)}


def record_format(file: str) -> RecordFormat:
    """The form of a file by its name; TFRecord where the name says nothing else."""
    name = file.rpartition("/")[2]
    return ARRAY_RECORD if f".{ARRAY_RECORD.name}" in name else TFRECORD
