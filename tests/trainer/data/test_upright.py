"""EXIF orientations in graph ops, beside what preparation makes of the same bytes."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_prep.images import ImageOptions, inspect_image, record_jpeg
from data_prep.images.inspection import turned
from orchard.formats import InputSpec
from tests.data_prep.builders import (
    exif_with_a_mistyped_tag,
    jpeg,
    odd_images,
    picture,
    pillow_bytes,
    rotated_jpeg,
    with_stray_bytes,
)
from trainer.data import decode_image
from trainer.data.upright import decode_upright, jpeg_orientation

_STRING = [tf.TensorSpec([], tf.string)]
_orientation = tf.function(jpeg_orientation, input_signature=_STRING)
_PLAIN = jpeg(1)


def _upright(*specs):
    return tf.function(lambda data: decode_upright(data, specs), input_signature=_STRING)


def _smooth(orientation, height=48, width=64):
    """A JPEG without fine detail, so that encoding it once more changes little."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([4 * rows, 3 * columns, 2 * rows + columns], axis=-1).clip(0, 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels.astype(np.uint8))
    return pillow_bytes(image, "JPEG", quality=98, exif=exif)


def _entry(tag=0x0112, kind=3, count=1, value=6, order="<"):
    number = "HH" if kind in (3, 8) else "i"
    values = (value, 0) if kind in (3, 8) else (value,)
    return struct.pack(f"{order}HHI{number}", tag, kind, count, *values)


def _with_exif(entries, order="<", start=8, count=None):
    """A JPEG with an EXIF block of these entries."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    number = struct.pack(f"{order}H", len(entries) if count is None else count)
    return _with_block(b"Exif\0\0" + head + number + b"".join(entries))


def _with_block(block):
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    return _PLAIN[:2] + segment + _PLAIN[2:]


def _prepared(data):
    return inspect_image(data, ImageOptions()).orientation


_BLOCKS = {
    "little endian": (_with_exif([_entry(value=8)]), 8),
    "big endian": (_with_exif([_entry(order=">", value=3)], ">"), 3),
    "long": (_with_exif([_entry(kind=4, value=5)]), 5),
    "third": (_with_exif([_entry(0x0100), _entry(0x0131, 3, 1, 2), _entry(value=7)]), 7),
    "twice": (_with_exif([_entry(value=3), _entry(value=6)]), 6),
    "cut table": (_with_exif([_entry(value=6)], count=60_000), 6),
    "zero": (_with_exif([_entry(value=0)]), 1),
    "nine": (_with_exif([_entry(value=9)]), 1),
    "two values": (_with_exif([_entry(count=2)]), 6),
    "byte": (_with_exif([_entry(kind=1)]), 1),
    "table at 2 GB": (_with_exif([_entry()], start=2**31 + 8), 1),
    "table beyond the end": (_with_exif([_entry()], start=60_000), 1),
    "no entry": (_with_exif([]), 1),
    "empty": (_with_block(b"Exif\0\0"), 1),
    "two bytes": (_with_block(b"Exif\0\0II"), 1),
    "no TIFF": (_with_block(b"Exif\0\0XX*\0\x08\0\0\0\x01\0" + _entry()), 1),
    "XMP alone": (_with_block(b"http://ns.adobe.com/xap/1.0/\0<x/>"), 1),
    "mistyped": (pillow_bytes(picture(), "JPEG", exif=exif_with_a_mistyped_tag(6)), 6),
    "stray bytes": (with_stray_bytes(rotated_jpeg(6), 0xE1), 6),
    "padded marker": (rotated_jpeg(6).replace(b"\xff\xe1", b"\xff\xff\xff\xe1", 1), 6),
}


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(24, 24), (16, 28)], ids=str)
def test_decode_upright_of_each_orientation_is_the_picture_turned(size, resize):
    decode = _upright(InputSpec(*size, resize, False))
    for orientation in range(1, 9):
        data = _smooth(orientation)
        stored = size if orientation < 5 else size[::-1]
        found = decode(data)[0].numpy()
        expected = turned(decode_image(data, *stored, resize).numpy(), orientation)
        np.testing.assert_array_equal(found, expected)
        # And what a dataset would hold of it, which was encoded once more.
        record = record_jpeg(data, ImageOptions())
        assert orientation == 1 or record != data
        prepared = decode_image(record, *size, resize).numpy()
        difference = np.abs(found.astype(int) - prepared)
        # A window, or a margin, of an odd number of pixels is not in the very middle.
        assert difference.mean() < (1.5 if resize == "squash" else 10)


def test_decode_upright_of_files_without_a_rotation_is_decode_image():
    size = (20, 14)
    decode = _upright(InputSpec(*size, "squash", False))
    for name, data in odd_images().items():
        if name == "rotated" or name.startswith("webp"):
            continue
        np.testing.assert_array_equal(decode(data)[0], decode_image(data, *size), err_msg=name)


def test_decode_upright_of_several_sizes_gives_each_its_own_pixels():
    specs = [InputSpec(24, 24, "squash", False), InputSpec(10, 28, "crop", False)]
    together, apart = _upright(*specs), [_upright(spec) for spec in specs]
    for orientation in (1, 3, 6, 7):
        data = _smooth(orientation)
        for image, one in zip(together(data), apart, strict=True):
            np.testing.assert_array_equal(image, one(data)[0])


@pytest.mark.parametrize(
    ("data", "expected"),
    _BLOCKS.values(),
    ids=_BLOCKS,
)
def test_jpeg_orientation_of_an_odd_block_is_what_preparation_reads(data, expected):
    assert _orientation(data).numpy() == expected == _prepared(data)


@given(st.binary(max_size=80), st.sampled_from(["exif", "tiff", "segments", "anything"]))
@settings(max_examples=150)
def test_jpeg_orientation_of_any_bytes_never_fails(noise, where):
    tiff = b"Exif\0\0II*\0\x08\0\0\0"
    data = {
        "exif": _with_block(b"Exif\0\0" + noise),
        "tiff": _with_block(tiff + noise),
        "segments": b"\xff\xd8\xff" + noise,
        "anything": noise,
    }[where]
    assert 1 <= _orientation(data).numpy() <= 8


@given(st.lists(st.tuples(st.sampled_from([0x0112, 0x0100, 0x010E]), st.integers(0, 10))))
def test_jpeg_orientation_of_any_shorts_is_what_preparation_reads(entries):
    data = _with_exif([_entry(tag, 3, 1, value) for tag, value in entries])
    assert _orientation(data).numpy() == _prepared(data)


def test_jpeg_orientation_of_a_file_cut_anywhere_never_fails():
    data = rotated_jpeg(6)
    for length in range(0, 120):
        assert _orientation(data[:length]).numpy() in (1, 6)
    assert Image.open(io.BytesIO(data)).getexif()[0x0112] == 6
