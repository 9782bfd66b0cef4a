"""Encoded images to uint8 pixels of one size: THE decode of training, evaluation and export.

Pure TensorFlow graph ops with static output shapes: the same function runs in the input pipeline
and inside the JPEG signature of every exported SavedModel, so an image gives the same pixels
everywhere.

libjpeg decodes at 1/2, 1/4 and 1/8 scale for less than full cost, by inverse transforms of fewer
coefficients. Each image is decoded at the smallest scale that still covers the target. What is left
to the resize is then a factor of two at most, for which plain bilinear sampling reads every source
pixel. Where the factor is larger (another aspect, no scale small enough, PNG), the resize averages
(antialias).

EXIF orientation is not applied: preparation stores images upright.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

SCALES = (1, 2, 4, 8)
RESIZES = ("squash", "crop", "pad")
# Middle grey: near zero after any of the networks' own preprocessings.
PAD_VALUE = 128
# Above it, bilinear sampling skips source pixels.
_MAX_BILINEAR_FACTOR = 2.0


class Window(NamedTuple):
    """A rectangle of an image, in pixels; int32 scalars."""

    top: tf.Tensor
    left: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor


class CropRange(NamedTuple):
    """What random resized crops are drawn from (Szegedy et al. 2015, "Going deeper", section 6).

    Attributes:
        min_area: the smallest part of the image's area, 0..1; the largest is 1.
        max_aspect: width to height is drawn log-uniformly from 1/max_aspect..max_aspect.
    """

    min_area: float
    max_aspect: float


def decode_image(
    encoded: tf.Tensor,
    height_px: int,
    width_px: int,
    resize: str = "squash",
    exact: bool = False,
    crop_draws: tf.Tensor | None = None,
    crop_range: CropRange | None = None,
) -> tf.Tensor:
    """Decodes a JPEG (or PNG, BMP, a GIF's first frame) to one size.

    Args:
        encoded: scalar string, the encoded image; grey images become three equal channels.
        height_px: rows of the result.
        width_px: columns of the result.
        resize: what happens where the aspect differs: "squash" changes it, "crop" takes the largest
            central window of the target's aspect, "pad" keeps all of the image and fills with grey.
        exact: decode at full scale with the accurate transform and always average (antialias): what
            Pillow gives, within rounding; slower.
        crop_draws: float32 [4], uniform 0..1 (area, aspect, top, left): a random resized crop out
            of `crop_range`, decoded alone and squashed to the target; `resize` doesn't matter then.
        crop_range: what the draws mean; needed with `crop_draws`.

    Returns:
        uint8 [height_px, width_px, 3], RGB.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no image.
    """

    def choose_window(height: tf.Tensor, width: tf.Tensor) -> Window:
        if crop_draws is not None:
            return random_window(height, width, crop_draws, crop_range)
        if resize == "crop":
            return central_window(height, width, width_px / height_px)
        return Window(tf.constant(0), tf.constant(0), height, width)

    def choose_size(window: Window) -> tuple[tf.Tensor, tf.Tensor]:
        if resize == "pad" and crop_draws is None:
            return _fit_inside(window.height, window.width, height_px, width_px)
        return tf.constant(height_px), tf.constant(width_px)

    def from_jpeg():
        window = choose_window(*tf.unstack(tf.io.extract_jpeg_shape(encoded)[:2]))
        rows, columns = choose_size(window)
        if exact:
            image = tf.io.decode_and_crop_jpeg(encoded, window, 3, dct_method="INTEGER_ACCURATE")
        else:
            scale = smallest_scale(window.height, window.width, rows, columns)
            image = tf.switch_case(scale, [_decoder(encoded, window, s) for s in SCALES])
        return image, rows, columns

    def from_other():
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        image.set_shape([None, None, 3])
        window = choose_window(*tf.unstack(tf.shape(image)[:2]))
        return tf.image.crop_to_bounding_box(image, *window), *choose_size(window)

    is_jpeg = tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"
    image, rows, columns = tf.cond(is_jpeg, from_jpeg, from_other)
    image = resize_image(image, rows, columns, exact)
    if resize == "pad":
        image = _place(image, height_px, width_px)
    image.set_shape([height_px, width_px, 3])
    return image


def fit_image(
    image: tf.Tensor, height_px: int, width_px: int, resize: str = "squash", exact: bool = False
) -> tf.Tensor:
    """Brings pixels that are decoded already to one size, as `decode_image` does those of a PNG.

    Args:
        image: uint8 [height, width, 3], RGB.
        height_px: rows of the result.
        width_px: columns of the result.
        resize: "squash", "crop" or "pad".
        exact: average wherever it shrinks.

    Returns:
        uint8 [height_px, width_px, 3].
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    rows, columns = tf.constant(height_px), tf.constant(width_px)
    if resize == "crop":
        window = central_window(height, width, width_px / height_px)
        image = tf.image.crop_to_bounding_box(image, *window)
    elif resize == "pad":
        rows, columns = _fit_inside(height, width, height_px, width_px)
    image = resize_image(image, rows, columns, exact)
    if resize == "pad":
        image = _place(image, height_px, width_px)
    image.set_shape([height_px, width_px, 3])
    return image


def _decoder(encoded: tf.Tensor, window: Window, scale: int) -> Callable[[], tf.Tensor]:
    # The op wants the window in pixels of the scaled image, whose size libjpeg rounds up.
    scaled = [window.top // scale, window.left // scale, *_scaled_size(window, scale)]
    return lambda: tf.io.decode_and_crop_jpeg(encoded, scaled, channels=3, ratio=scale)


def _scaled_size(window: Window, scale: int) -> tuple[tf.Tensor, tf.Tensor]:
    return (window.height + scale - 1) // scale, (window.width + scale - 1) // scale


def smallest_scale(
    height: tf.Tensor, width: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor
) -> tf.Tensor:
    """The position in `SCALES` of the coarsest decode of at least rows x columns; int32."""
    scales = tf.constant(SCALES[1:])
    covers_rows = (height + scales - 1) // scales >= rows
    covers_columns = (width + scales - 1) // scales >= columns
    return tf.reduce_sum(tf.cast(covers_rows & covers_columns, tf.int32))


def central_window(height: tf.Tensor, width: tf.Tensor, aspect: float) -> Window:
    """The largest central window whose width is `aspect` times its height."""
    wide = tf.cast(tf.round(tf.cast(height, tf.float32) * aspect), tf.int32)
    high = tf.cast(tf.round(tf.cast(width, tf.float32) / aspect), tf.int32)
    wide, high = tf.clip_by_value(wide, 1, width), tf.clip_by_value(high, 1, height)
    return Window((height - high) // 2, (width - wide) // 2, high, wide)


def random_window(
    height: tf.Tensor, width: tf.Tensor, draws: tf.Tensor, crop_range: CropRange
) -> Window:
    """The window of a random resized crop, a pure function of its draws.

    Sides that a draw makes longer than the image are cut to it (other libraries draw again).

    Args:
        height: int32 scalar, rows of the image.
        width: int32 scalar, columns of the image.
        draws: float32 [4], uniform 0..1: area, aspect, top, left.
        crop_range: what the draws mean.
    """
    full_height, full_width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    area = full_height * full_width * (crop_range.min_area + (1 - crop_range.min_area) * draws[0])
    aspect = tf.exp((2 * draws[1] - 1) * math.log(crop_range.max_aspect))
    high = tf.clip_by_value(tf.round(tf.sqrt(area / aspect)), 1.0, full_height)
    wide = tf.clip_by_value(tf.round(tf.sqrt(area * aspect)), 1.0, full_width)
    top = tf.floor(draws[2] * (full_height - high + 1))
    left = tf.floor(draws[3] * (full_width - wide + 1))
    return Window(*(tf.cast(value, tf.int32) for value in (top, left, high, wide)))


def _fit_inside(
    height: tf.Tensor, width: tf.Tensor, height_px: int, width_px: int
) -> tuple[tf.Tensor, tf.Tensor]:
    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    factor = tf.minimum(height_px / height, width_px / width)
    rows = tf.clip_by_value(tf.cast(tf.round(height * factor), tf.int32), 1, height_px)
    columns = tf.clip_by_value(tf.cast(tf.round(width * factor), tf.int32), 1, width_px)
    return rows, columns


def resize_image(image: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, exact: bool) -> tf.Tensor:
    """Bilinear resize with half-pixel centres; averages where it shrinks by more than two.

    Args:
        image: uint8 [height, width, 3].
        rows: int32 scalar, rows of the result.
        columns: int32 scalar, columns of the result.
        exact: average wherever it shrinks.

    Returns:
        uint8 [rows, columns, 3].
    """
    size = tf.stack([rows, columns])

    def sample():
        return tf.raw_ops.ResizeBilinear(images=image[None], size=size, half_pixel_centers=True)[0]

    def average():
        return tf.image.resize(image, size, antialias=True)

    if exact:
        resized = average()
    else:
        factor = tf.reduce_max(tf.shape(image)[:2] / size)
        resized = tf.cond(factor <= _MAX_BILINEAR_FACTOR, sample, average)
    # Both kernels are convex, so that nothing leaves 0..255 and the cast needs no saturation.
    return tf.cast(resized + 0.5, tf.uint8)


def _place(image: tf.Tensor, height_px: int, width_px: int) -> tf.Tensor:
    """Centres an image on grey."""
    below = height_px - tf.shape(image)[0]
    right = width_px - tf.shape(image)[1]
    paddings = [[below // 2, below - below // 2], [right // 2, right - right // 2], [0, 0]]
    return tf.pad(image, paddings, constant_values=PAD_VALUE)
