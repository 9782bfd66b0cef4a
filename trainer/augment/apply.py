"""Augmentation: the host draws a row of parameters an image, the device applies them.

A row is a pure function of (seed, epoch, record). Only numbers cross to the device, whose part is a
pure function (images, parameters) -> images, the same eagerly and compiled by XLA.

On each replica a step does
`images = augment_batch(batch["image"], batch["augment"], options)`, then
`images, targets = mix_batch(images, batch["target"], batch["augment"], options,
batch["weight"])`.
"""

import math

import numpy as np
import tensorflow as tf

from trainer.augment import color, geometry, mixing
from trainer.augment import draw as augment_draw
from trainer.augment.options import INDEX, AugmentOptions


def draw_eagerly(
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
    with tf.device("CPU"):
        return augment_draw.draw_parameters(seed, epoch, gids, options).numpy()


def augment_batch(images: tf.Tensor, parameters: tf.Tensor, options: AugmentOptions) -> tf.Tensor:
    """Applies the drawn parameters, each image by itself, on the device.

    Args:
        images: uint8 or float [batch, height, width, 3], 0..255, static shape but for the batch.
        parameters: float32 [batch, k], from `draw`.
        options: as in `draw`; what they leave off is not computed.

    Returns:
        float32 [batch, height, width, 3], 0..255.
    """
    images = tf.cast(images, tf.float32)
    column = _columns(parameters)
    if options.flips != "none":
        images = geometry.flip(images, column["flip_horizontal"], axis=2)
    if options.flips == "both":
        images = geometry.flip(images, column["flip_vertical"], axis=1)
    if options.quarter_turns:
        images = geometry.turn(images, column["quarter_turns"])
    images = _recolour(_warp(images, column, options), column, options)
    if options.erase:
        box = [column[f"erase_{name}"] for name in ("height", "width", "y", "x")]
        images = mixing.erase(images, *box)
    return images


def mix_batch(
    images: tf.Tensor,
    targets: tf.Tensor,
    parameters: tf.Tensor,
    options: AugmentOptions,
    weights: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes images and targets with those of their partners, on the device.

    Args:
        images: float32 [batch, height, width, 3], 0..255; an even, static batch where anything is
            mixed.
        targets: float32 [batch, num_classes].
        parameters: float32 [batch, k], from `draw`.
        options: as in `draw`.
        weights: float32 [batch]; a partner of weight 0 (a skipped record) isn't mixed in.

    Returns:
        (images, targets), as they came where nothing is mixed.
    """
    column = _columns(parameters)
    partner_counts = 1.0
    if options.mixes and weights is not None:
        partner_counts = tf.cast(mixing.partners(weights) > 0, tf.float32)
    if options.mixup_alpha:
        ratio = 1 - (1 - column["mixup"]) * partner_counts
        images, targets = mixing.mixup(images, targets, ratio)
    if options.cutmix_alpha:
        size = column["cutmix_size"] * partner_counts
        images, targets = mixing.cutmix(
            images, targets, size, column["cutmix_y"], column["cutmix_x"]
        )
    return images, targets


def _columns(parameters: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: parameters[:, position] for name, position in INDEX.items()}


def _warp(images: tf.Tensor, column: dict[str, tf.Tensor], options: AugmentOptions) -> tf.Tensor:
    policy = options.randaugment_ops > 0
    if policy or options.zoom or options.translate:
        images = geometry.zoom_and_shift(
            images, column["zoom"], column["translate_y"], column["translate_x"]
        )
    if policy or options.rotate_degrees or options.shear:
        strongest = augment_draw.randaugment_reach(options)
        images = geometry.rotate_and_shear(
            images,
            column["rotate"],
            column["shear"],
            max_radians=math.radians(options.rotate_degrees) + strongest["rotate"],
            max_shear=options.shear + strongest["shear"],
        )
    return images


def _recolour(
    images: tf.Tensor, column: dict[str, tf.Tensor], options: AugmentOptions
) -> tf.Tensor:
    policy = options.randaugment_ops > 0
    if policy or options.recolours:
        images = color.brightness(images, column["brightness"])
        images = color.contrast(images, column["contrast"])
        images = color.saturation(images, column["saturation"])
    if policy:
        for change in (color.sharpness, color.posterize, color.solarize, color.autocontrast):
            images = change(images, column[change.__name__])
    return images
