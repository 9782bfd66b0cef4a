"""Augmentation: the host draws a row of parameters per image, the device applies them.

A row is a pure function of (seed, epoch, record), made in NumPy: stateless random numbers of one
seed differ between eager and compiled execution, and strings or host calls never reach a TPU. The
device's part is a pure function (images, parameters) -> images in ops that XLA compiles.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from data_prep.errors import OrchardError
from trainer import order

FLIPS = ("none", "horizontal", "both")
COLUMNS = ("flip_horizontal", "flip_vertical")


@dataclass(frozen=True)
class AugmentOptions:
    """What the training images go through.

    Attributes:
        flips: "none", "horizontal" (left to right) or "both" (also top to bottom), each with
            probability one half.
    """

    flips: str = "horizontal"

    def __post_init__(self):
        if self.flips not in FLIPS:
            raise OrchardError(f"flips is {self.flips!r}; choose one of {', '.join(FLIPS)}")


def uniforms(seed: int, epoch: int | np.ndarray, gids: np.ndarray, count: int) -> np.ndarray:
    """Stateless uniform numbers, a pure function of (seed, epoch, gid, column).

    Args:
        seed: any integer.
        epoch: one for all, or int [n].
        gids: int [n].
        count: columns.

    Returns:
        float32 [n, count], 0 <= u < 1.
    """
    epochs, which = np.unique(np.broadcast_to(epoch, np.shape(gids)), return_inverse=True)
    keys = np.array([order.mix_key(seed, int(e), order.AUGMENT_SALT) for e in epochs], np.uint64)
    rows = order.splitmix64(np.asarray(gids).astype(np.uint64) ^ keys[which])
    columns = order.splitmix64(np.arange(count, dtype=np.uint64))
    bits = order.splitmix64(rows[:, None] ^ columns[None, :])
    # 24 bits are what float32 holds without rounding up to 1.
    return (bits >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def draw(
    seed: int, epoch: int | np.ndarray, gids: np.ndarray, options: AugmentOptions
) -> np.ndarray:
    """Draws the parameters of some images, on the host.

    Args:
        seed: the run's seed.
        epoch: one for all, or int [n].
        gids: int [n], the records.
        options: what to draw.

    Returns:
        float32 [n, k], a row of `COLUMNS` for each record.
    """
    u = uniforms(seed, epoch, gids, 2)
    parameters = np.zeros((len(gids), len(COLUMNS)), np.float32)
    if options.flips != "none":
        parameters[:, 0] = u[:, 0] < 0.5
    if options.flips == "both":
        parameters[:, 1] = u[:, 1] < 0.5
    return parameters


def apply(images: tf.Tensor, parameters: tf.Tensor, options: AugmentOptions) -> tf.Tensor:
    """Applies the drawn parameters, on the device.

    Args:
        images: uint8 or float [batch, height, width, 3], 0..255.
        parameters: float32 [batch, k], from `draw`.
        options: as in `draw`.

    Returns:
        float32 [batch, height, width, 3], 0..255.
    """
    images = tf.cast(images, tf.float32)
    if options.flips != "none":
        images = _where(parameters[:, 0], tf.reverse(images, [2]), images)
    if options.flips == "both":
        images = _where(parameters[:, 1], tf.reverse(images, [1]), images)
    return images


def _where(flags: tf.Tensor, yes: tf.Tensor, no: tf.Tensor) -> tf.Tensor:
    return tf.where(flags[:, None, None, None] > 0.5, yes, no)


def mix(
    images: tf.Tensor, targets: tf.Tensor, parameters: tf.Tensor, options: AugmentOptions
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes images and their targets; with the options that there are, returns both as they came.

    Args:
        images: float32 [batch, height, width, 3], 0..255.
        targets: float32 [batch, num_classes].
        parameters: float32 [batch, k], from `draw`.
        options: as in `draw`.
    """
    del parameters, options
    return images, targets
