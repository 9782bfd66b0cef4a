"""What several augmentations are made of."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from orchard.errors import OrchardError
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

# ITU-R 601-2, as Pillow's conversion to "L".
_LUMA = (0.299, 0.587, 0.114)
_BETA_POINTS = 1025


def around(uniform: tf.Tensor, center: float, reach: float) -> tf.Tensor:
    """Uniform numbers from center - reach to center + reach, of uniform ones from 0 to 1."""
    return center + (2 * uniform - 1) * reach


def happens(uniform: tf.Tensor, probability: float) -> tf.Tensor:
    """1 with this probability, else 0, of uniform numbers from 0 to 1."""
    return tf.cast(uniform < probability, tf.float32)


def beta(uniform: tf.Tensor, alpha: float) -> tf.Tensor:
    """Beta(alpha, alpha) of uniform numbers from 0 to 1, by its inverse distribution in a table."""
    table = tf.constant(_beta_quantiles(alpha), tf.float32)
    position = uniform * (_BETA_POINTS - 1)
    below = tf.cast(tf.floor(position), tf.int32)
    part = position - tf.floor(position)
    low, high = tf.gather(table, below), tf.gather(table, tf.minimum(below + 1, _BETA_POINTS - 1))
    return low + (high - low) * part


@functools.cache
def _beta_quantiles(alpha: float) -> np.ndarray:
    from scipy import special

    return special.betaincinv(alpha, alpha, np.linspace(0, 1, _BETA_POINTS))


def per_image(values: tf.Tensor) -> tf.Tensor:
    """[batch] as [batch, 1, 1, 1], to meet images."""
    return values[:, None, None, None]


def clip(images: tf.Tensor) -> tf.Tensor:
    """Values below 0 become 0, those above 255 become 255."""
    return tf.clip_by_value(images, 0.0, 255.0)


def gray(images: tf.Tensor) -> tf.Tensor:
    """Luminance, float32 [batch, height, width, 1]."""
    return tf.reduce_sum(images * tf.constant(_LUMA), axis=3, keepdims=True)


def flip(images: tf.Tensor, flags: tf.Tensor, axis: int) -> tf.Tensor:
    """Mirrors the images whose flag is 1.

    Args:
        images: float32 [batch, height, width, channels].
        flags: float32 [batch], 0 or 1.
        axis: 1 swaps top and bottom, 2 left and right.
    """
    return tf.where(per_image(flags) > 0.5, tf.reverse(images, [axis]), images)


def box(
    images: tf.Tensor, top: tf.Tensor, bottom: tf.Tensor, left: tf.Tensor, right: tf.Tensor
) -> tf.Tensor:
    """Which pixels' centers lie in a box of each image, bool [batch, height, width, 1].

    Args:
        images: float32 [batch, height, width, channels].
        top: float32 [batch], as a part of the image's height; like the others it may leave 0..1.
        bottom: likewise.
        left: as a part of the image's width.
        right: likewise.
    """
    rows = _inside(images.shape[1], top, bottom)
    columns = _inside(images.shape[2], left, right)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _inside(size: int, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    centers = (tf.range(size, dtype=tf.float32) + 0.5) / size
    return (centers[None, :] >= low[:, None]) & (centers[None, :] < high[:, None])


def partners(values: tf.Tensor) -> tf.Tensor:
    """Swaps the rows of every pair: [a, b, c, d] -> [b, a, d, c].

    Raises:
        OrchardError: the number of rows is odd.
    """
    shape = values.shape.as_list()
    if shape[0] % 2:
        raise OrchardError(
            f"mixing pairs a replica's images; its batch is {shape[0]}: make it even"
        )
    pairs = tf.reshape(values, [shape[0] // 2, 2, *shape[1:]])
    return tf.reshape(tf.reverse(pairs, [1]), shape)
