"""Photos as a camera was held, in graph ops: what exported models do about a JPEG's EXIF.

Preparation stores images upright, so that training and evaluation never pay for this. Of a photo
that was not prepared, the orientation is read out of its bytes and applied to the pixels.
"""

import dataclasses
import functools
from collections.abc import Sequence

import tensorflow as tf

from orchard.formats import InputSpec
from trainer.data.decode import JPEG_START, decode_sizes

# Segments, and bytes between them, that are looked through for EXIF; it is the first of few.
_MAX_STEPS = 256
_EXIF = b"Exif\0\0"
_HEAD_BYTES = 4 + len(_EXIF)  # Marker, length, and the name.
_APP1 = 0xE1
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ENTRY_BYTES = 12
_ORIENTATION_TAG = 0x0112
_SHORTS, _LONGS = (3, 8), (4, 9)  # TIFF's types, without and with a sign.


@functools.cache
def upright_decoder(*specs: InputSpec) -> tf.types.experimental.PolymorphicFunction:
    """`decode_upright` of a batch: string [batch] to uint8 [batch, height, width, 3], one a spec.

    One for each set of specs: what is exported asks for it in several signatures, and building its
    graph takes longer than that of most of the rest.
    """
    shapes = tuple(tf.TensorSpec([s.height_px, s.width_px, 3], tf.uint8) for s in specs)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tf.map_fn(
            lambda one: tuple(decode_upright(one, specs)), encoded, fn_output_signature=shapes
        )

    return decode


def decode_upright(encoded: tf.Tensor, specs: Sequence[InputSpec]) -> list[tf.Tensor]:
    """`decode_sizes`, with a JPEG's EXIF orientation applied.

    Where there is none the pixels are those of `decode_image` to the bit.

    Args:
        encoded: scalar string, the encoded image.
        specs: what it is brought to.

    Returns:
        uint8 [height_px, width_px, 3], RGB, one a spec.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no image.
    """
    orientation = jpeg_orientation(encoded)
    is_lying = orientation >= 5
    lying = [dataclasses.replace(s, height_px=s.width_px, width_px=s.height_px) for s in specs]
    if lying == list(specs):
        stored = decode_sizes(encoded, specs)
        images = tf.cond(is_lying, lambda: _transposed(stored), lambda: stored)
    else:
        images = tf.cond(
            is_lying,
            lambda: _transposed(decode_sizes(encoded, lying)),
            lambda: decode_sizes(encoded, specs),
        )
    rows = tf.reduce_any(orientation == [3, 4, 7, 8])
    columns = tf.reduce_any(orientation == [2, 3, 6, 7])
    dims = tf.stack([rows, columns, False])
    return tf.cond(
        rows | columns,
        lambda: [tf.raw_ops.Reverse(tensor=image, dims=dims) for image in images],
        lambda: images,
    )


def _transposed(images: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    return [tf.transpose(image, [1, 0, 2]) for image in images]


def jpeg_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation of a JPEG.

    Args:
        encoded: scalar string: any bytes.

    Returns:
        int32 scalar, 1..8; 1 (upright) also where there is no EXIF, or no sense in it.
    """
    return tf.cond(
        tf.strings.substr(encoded, 0, len(JPEG_START)) == JPEG_START,
        lambda: _of_segment(encoded, _find_exif(encoded)),
        lambda: 1,
    )


def _find_exif(encoded: tf.Tensor) -> tf.Tensor:
    """Where the EXIF segment starts; beyond the last byte where there is none."""
    end = tf.strings.length(encoded)

    def look(at: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        head = tf.strings.substr(encoded, at, _HEAD_BYTES)
        is_exif = tf.strings.substr(head, 4, len(_EXIF)) == _EXIF
        numbers = _bytes(head)
        marker = numbers[1]
        is_exif &= (numbers[0] == 0xFF) & (marker == _APP1)
        # As libjpeg does: what lies between segments is skipped, and any number of 0xff is one.
        alone = (marker == 0) | (marker == 1) | ((marker >= 0xD0) & (marker <= 0xD8))
        step = tf.where(alone, 2, 2 + 256 * numbers[2] + numbers[3])
        step = tf.where((numbers[0] != 0xFF) | (marker == 0xFF), 1, step)
        is_last = (marker == _START_OF_SCAN) | (marker == _END_OF_IMAGE)
        is_last &= numbers[0] == 0xFF
        return tf.where(is_exif, at, tf.where(is_last, end, at + step)), is_exif

    at, found = tf.while_loop(
        lambda at, found: ~found & (at + _HEAD_BYTES <= end),
        look,
        (tf.constant(2), tf.constant(False)),
        parallel_iterations=1,
        maximum_iterations=_MAX_STEPS,
    )
    return tf.where(found, at, end)


def _of_segment(encoded: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """The orientation that the EXIF segment at this byte names."""
    return tf.cond(at < tf.strings.length(encoded), lambda: _of_exif(encoded, at), lambda: 1)


def _of_exif(encoded: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    high, low = tf.unstack(_bytes(tf.strings.substr(encoded, at + 2, 2)), 2)
    tiff = _bytes(tf.strings.substr(encoded, at + _HEAD_BYTES, 256 * high + low - len(_EXIF) - 2))
    size = tf.size(tiff)
    tiff = tf.pad(tiff, [[0, _ENTRY_BYTES]])
    is_little = tf.reduce_all(tiff[:2] == list(b"II"))
    is_tiff = (is_little | tf.reduce_all(tiff[:2] == list(b"MM"))) & (tiff[2] + tiff[3] == 42)
    short_powers = tf.where(is_little, [1, 1 << 8], [1 << 8, 1])
    long_powers = tf.where(is_little, [1, 1 << 8, 1 << 16, 1 << 24], [1 << 24, 1 << 16, 1 << 8, 1])

    def short(numbers: tf.Tensor) -> tf.Tensor:
        """The number that two bytes, in the last axis, are."""
        return tf.reduce_sum(numbers * short_powers, axis=-1)

    def long(numbers: tf.Tensor) -> tf.Tensor:
        """The number that four bytes are; one of 32 bits comes out negative."""
        return tf.reduce_sum(numbers * long_powers, axis=-1)

    start = long(tiff[4:8])
    is_tiff &= (start >= 0) & (start <= size - 2)
    start = tf.where(is_tiff, start, 0)
    entries = tf.minimum(short(tiff[start : start + 2]), (size - start - 2) // _ENTRY_BYTES)
    entries = tf.maximum(entries, 0)
    table = tiff[start + 2 : start + 2 + _ENTRY_BYTES * entries]
    table = tf.reshape(table, [-1, _ENTRY_BYTES])
    table = tf.boolean_mask(table, short(table[:, :2]) == _ORIENTATION_TAG)
    # Of several the last one; a row of zeros stands for none.
    entry = tf.concat([tf.zeros([1, _ENTRY_BYTES], tf.int32), table], axis=0)[-1]
    kind, count = short(entry[2:4]), long(entry[4:8])
    value = tf.where(
        tf.reduce_any(kind == list(_SHORTS)),
        short(entry[8:10]),
        tf.where(tf.reduce_any(kind == list(_LONGS)), long(entry[8:12]), 1),
    )
    # Two shorts have room in an entry, too.
    is_first = (count == 1) | ((count == 2) & tf.reduce_any(kind == list(_SHORTS)))
    is_known = is_tiff & is_first & (value >= 1) & (value <= 8)
    return tf.where(is_known, value, 1)


def _bytes(text: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int32)
