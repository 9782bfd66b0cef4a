"""Flips, quarter turns and small affine maps of image batches, in ops that a TPU does fast.

A TPU gathers pixels one by one, slowly, so nothing here samples at computed positions: a zoom is
two matrix products, and a rotation is three shears (Unser, Thevenaz and Yaroslavsky 1995,
"Convolution-based interpolation for fast, high-quality rotation of images"). A shear moves each row
by its own amount: by powers of two, each taken or left (a barrel shifter), and by linear
interpolation for the fraction.
"""

import math

import tensorflow as tf

from orchard.errors import OrchardError


def flip(images: tf.Tensor, flags: tf.Tensor, axis: int) -> tf.Tensor:
    """Mirrors the images whose flag is 1.

    Args:
        images: float32 [batch, height, width, channels].
        flags: float32 [batch], 0 or 1.
        axis: 1 swaps top and bottom, 2 left and right.
    """
    return tf.where(_per_image(flags) > 0.5, tf.reverse(images, [axis]), images)


def turn(images: tf.Tensor, quarter_turns: tf.Tensor) -> tf.Tensor:
    """Rotates square images by 0..3 quarter turns, counter-clockwise.

    Args:
        images: float32 [batch, side, side, channels].
        quarter_turns: float32 [batch].
    """
    height, width = images.shape[1:3]
    if height != width:
        raise OrchardError(
            f"quarter_turns need square images, received {height}x{width}; drop one of the two"
        )
    # A quarter turn is a transposition and a flip, a half turn is two flips.
    odd = _per_image(quarter_turns % 2) > 0.5
    half = tf.cast(quarter_turns > 1.5, tf.float32)
    images = tf.where(odd, tf.reverse(tf.transpose(images, [0, 2, 1, 3]), [1]), images)
    return flip(flip(images, half, 1), half, 2)


def zoom_and_shift(
    images: tf.Tensor, zoom: tf.Tensor, translate_y: tf.Tensor, translate_x: tf.Tensor
) -> tf.Tensor:
    """Enlarges about the centre and moves; mirrored beyond the edges.

    Args:
        images: float32 [batch, height, width, channels].
        zoom: float32 [batch], factor.
        translate_y: float32 [batch], part of the height, positive moves down.
        translate_x: float32 [batch], part of the width, positive moves right.
    """
    rows = _sampling_matrix(images.shape[1], zoom, translate_y)
    columns = _sampling_matrix(images.shape[2], zoom, translate_x)
    images = tf.einsum("byh,bhwc->bywc", rows, images)
    return tf.einsum("bxw,bywc->byxc", columns, images)


def _sampling_matrix(size: int, zoom: tf.Tensor, translate: tf.Tensor) -> tf.Tensor:
    """Linear interpolation along one axis as a matrix, float32 [batch, size, size]."""
    centre = (size - 1) / 2
    target = tf.range(size, dtype=tf.float32) - centre
    source = (target[None, :] - translate[:, None] * size) / zoom[:, None] + centre
    # Mirrored at the outer pixels: period 2 (size - 1).
    period = max(2 * (size - 1), 1)
    source = tf.abs((source + centre * 2) % period - centre * 2)
    distance = tf.abs(source[:, :, None] - tf.range(size, dtype=tf.float32)[None, None, :])
    return tf.maximum(0.0, 1.0 - distance)


def rotate_and_shear(
    images: tf.Tensor, radians: tf.Tensor, shear: tf.Tensor, max_radians: float, max_shear: float
) -> tf.Tensor:
    """Rotates counter-clockwise about the centre, then shears; mirrored beyond the edges.

    Args:
        images: float32 [batch, height, width, channels].
        radians: float32 [batch].
        shear: float32 [batch], columns that a row moves right per row below the centre.
        max_radians: bound of the radians, below pi / 2; it decides how much is computed.
        max_shear: bound of the shears.
    """
    height, width = images.shape[1:3]
    slope = math.tan(max_radians / 2) + max_shear
    # Content may leave the image in one shear and come back in another: it needs a margin.
    right = min(width - 1, math.ceil(slope * height / 2) + 1)
    down = min(height - 1, math.ceil(math.sin(max_radians) * (width / 2 + right)) + 1)
    right = min(width - 1, math.ceil(slope * (height / 2 + down)) + 1)
    canvas = tf.pad(images, [[0, 0], [down, down], [right, right], [0, 0]], mode="REFLECT")
    half = tf.tan(radians / 2)
    canvas = _shear_rows(canvas, half, slope)
    canvas = tf.transpose(canvas, [0, 2, 1, 3])
    canvas = _shear_rows(canvas, -tf.sin(radians), math.sin(max_radians))
    canvas = tf.transpose(canvas, [0, 2, 1, 3])
    canvas = _shear_rows(canvas, half + shear, slope)
    return canvas[:, down : down + height, right : right + width]


def _shear_rows(images: tf.Tensor, slopes: tf.Tensor, max_slope: float) -> tf.Tensor:
    """Moves every row right by slope x its distance below the centre, in a circle.

    Args:
        images: float32 [batch, height, width, channels].
        slopes: float32 [batch].
        max_slope: bound of the slopes.
    """
    height = images.shape[1]
    if max_slope == 0:
        return images
    below = tf.range(height, dtype=tf.float32) - (height - 1) / 2
    reach = math.ceil(max_slope * (height - 1) / 2) + 1
    # Counted from -reach, so that the powers of two add up to any move.
    moves = tf.clip_by_value(slopes[:, None] * below[None, :], -reach, reach) + reach
    whole = tf.floor(moves)
    images = tf.roll(images, -reach, axis=2)
    bits = tf.cast(whole, tf.int32)
    for power in range((2 * reach).bit_length()):
        taken = (bits // 2**power) % 2 == 1
        images = tf.where(taken[:, :, None, None], tf.roll(images, 2**power, axis=2), images)
    part = (moves - whole)[:, :, None, None]
    return images + part * (tf.roll(images, 1, axis=2) - images)


def _per_image(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]
