"""TFRecord frames and `tf.train.Example` messages without TensorFlow.

Frames are those of `tf.io.TFRecordWriter` to the byte. Messages are written here, since protobuf
leaves open in which order features stand and would copy each image several times; they are read
with TFDS's copy of the protobuf.
Formats: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details and
tensorflow/core/example/example.proto.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import google_crc32c
import numpy as np

from orchard.errors import OrchardError

FRAME_OVERHEAD_BYTES = 16  # length (8), crc of the length (4), crc of the payload (4)
HEADER_BYTES = 12
FOOTER_BYTES = 4
_HEADER = struct.Struct("<QI")
_CRC = struct.Struct("<I")


def mask(crc: int) -> int:
    """The masked form in which TFRecord stores a crc32c (so that a crc of crcs stays useful)."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """A whole record of a TFRecord file."""
    return frame_header(len(payload)) + payload + frame_footer(google_crc32c.value(payload))


def frame_header(payload_bytes: int) -> bytes:
    """The 12 bytes before a payload."""
    length = struct.pack("<Q", payload_bytes)
    return length + _CRC.pack(mask(google_crc32c.value(length)))


def frame_footer(payload_crc32c: int) -> bytes:
    """The 4 bytes after a payload."""
    return _CRC.pack(mask(payload_crc32c))


def is_intact(payload_and_footer: bytes) -> bool:
    """Whether a payload read together with its footer is what was written."""
    payload, footer = payload_and_footer[:-FOOTER_BYTES], payload_and_footer[-FOOTER_BYTES:]
    return frame_footer(google_crc32c.value(payload)) == footer


def _varint(value: int) -> bytes:
    if 0 <= value < 0x80:
        return bytes((value,))
    if value < 0:
        value += 1 << 64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message_field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field: a message, a string or packed numbers."""
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


def _entry(name: str, feature: bytes) -> bytes:
    """One item of `Features.feature`, a map<string, Feature>."""
    return message_field(1, message_field(1, name.encode()) + message_field(2, feature))


def bytes_entry(name: str, value: bytes) -> bytes:
    """The map entry of a feature of one byte string."""
    return _entry(name, message_field(1, message_field(1, value)))


def float_entry(name: str, values: np.ndarray) -> bytes:
    """The map entry of a float32 feature."""
    packed = np.asarray(values, "<f4").tobytes()
    return _entry(name, message_field(2, message_field(1, packed) if packed else b""))


def int64_entry(name: str, values: list[int]) -> bytes:
    """The map entry of an int64 feature."""
    packed = b"".join(map(_varint, values))
    return _entry(name, message_field(3, message_field(1, packed) if packed else b""))


_BYTES_KEYS: dict[str, bytes] = {}


def example_head(name: str, value_bytes: int, rest_bytes: int) -> bytes:
    """What stands before the value of an Example's first feature, a byte string of `value_bytes`.

    The Example is this head, the value itself, then `rest_bytes` of further map entries: a large
    value is never copied to build the message around it.
    """
    key = _BYTES_KEYS.get(name) or _BYTES_KEYS.setdefault(name, message_field(1, name.encode()))
    value = b"\n" + _varint(value_bytes)
    inside = len(value) + value_bytes
    value = b"\n" + _varint(inside) + value
    inside = len(value) + value_bytes
    value = key + b"\x12" + _varint(inside) + value
    inside = len(value) + value_bytes
    value = b"\n" + _varint(inside) + value
    return b"\n" + _varint(len(value) + value_bytes + rest_bytes) + value


class Frame(NamedTuple):
    """One record of a shard: where its frame starts, and its payload."""

    offset: int
    payload: bytes


class Reader(Protocol):
    """An open file, or what stands for one."""

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes; fewer at the end."""


def read_frames(file: Reader, name: str, index: int = 0, offset_bytes: int = 0) -> Iterator[Frame]:
    """Every record of an open shard, each length and payload checked against its crc32c.

    Args:
        file: the shard, positioned at a record.
        name: what to call the shard in errors.
        index: which record of the shard it is.
        offset_bytes: where in the shard it starts.

    Raises:
        OrchardError: a frame is damaged or the file is cut; names shard, record and offset.
    """
    offset = offset_bytes
    while header := file.read(_HEADER.size):
        where = f"{name}, record {index} at byte {offset}"
        if len(header) < _HEADER.size:
            raise OrchardError(f"{where}: the file ends inside the record's header")
        length, crc = _HEADER.unpack(header)
        if crc != mask(google_crc32c.value(header[:8])):
            raise OrchardError(f"{where}: the record's length does not match its checksum")
        payload, footer = file.read(length), file.read(_CRC.size)
        if len(payload) < length or len(footer) < _CRC.size:
            raise OrchardError(f"{where}: the file ends inside the record")
        if _CRC.unpack(footer)[0] != mask(google_crc32c.value(payload)):
            raise OrchardError(f"{where}: the record does not match its checksum")
        yield Frame(offset, payload)
        offset += length + FRAME_OVERHEAD_BYTES
        index += 1


class Example:
    """The features of one `tf.train.Example`, by name.

    Args:
        payload: the serialized message.

    Raises:
        ValueError: it is no such message.
    """

    def __init__(self, payload: bytes) -> None:
        # Twice the import time of a worker that only writes, which does without.
        from google.protobuf.message import DecodeError
        from tensorflow_datasets.proto import tf_example_pb2

        try:
            self._features = tf_example_pb2.Example.FromString(payload).features.feature
        except DecodeError as error:
            raise ValueError(f"no tf.train.Example: {error}") from error

    def bytes_of(self, name: str) -> bytes:
        """The value of a feature of one byte string; ValueError where there is none."""
        values = self._values(name, "bytes_list")
        if len(values) != 1:
            raise ValueError(f"feature {name!r} has {len(values)} values, not one")
        return values[0]

    def floats_of(self, name: str) -> np.ndarray:
        """The values of a float32 feature; ValueError where there is none."""
        return np.array(self._values(name, "float_list"), np.float32)

    def ints_of(self, name: str) -> list[int]:
        """The values of an int64 feature; ValueError where there is none."""
        return list(self._values(name, "int64_list"))

    def _values(self, name: str, kind: str) -> Any:
        if name not in self._features:
            raise ValueError(f"it has no feature {name!r}, but {sorted(self._features)}")
        feature = self._features[name]
        if feature.WhichOneof("kind") not in (kind, None):
            raise ValueError(f"feature {name!r} is a {feature.WhichOneof('kind')}, not a {kind}")
        return getattr(feature, kind).value
