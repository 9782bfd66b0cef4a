"""The host's part of augmentation: a row of parameters an image, from (seed, epoch, record)."""

import functools
import math

import numpy as np
import tensorflow as tf

from trainer import prng
from trainer.augment.options import COLUMNS, AugmentOptions

CROP_DRAWS = 4
# Each use has uniform numbers of its own, so that switching one on changes no other.
_CROP, _PLAIN, _RANDAUGMENT, _MIX = 0, 4, 24, 44
_UNIFORMS = 50
# Erasing: Zhong et al. 2020, "Random Erasing Data Augmentation", section 4.
_ERASE_AREA = (0.02, 0.33)
_ERASE_MAX_ASPECT = 1 / 0.3
# RandAugment at magnitude 10 (Cubuk et al. 2020): (column, change of its parameter, either sign).
_RANDAUGMENT_OPS = (
    ("rotate", math.radians(30), True),
    ("shear", 0.3, True),
    ("translate_x", 0.45, True),
    ("translate_y", 0.45, True),
    ("brightness", 0.9, True),
    ("contrast", 0.9, True),
    ("saturation", 0.9, True),
    ("sharpness", 0.9, True),
    ("solarize", -256.0, False),
    ("autocontrast", 1.0, False),
    ("posterize", 4.0, False),
)
_BETA_POINTS = 1025


def draw_parameters(
    seed: int, epochs: tf.Tensor, gids: tf.Tensor, options: AugmentOptions
) -> tf.Tensor:
    """Draws parameters: TensorFlow ops on integers' hashes, alike eagerly and in tf.data.

    Args:
        seed: the run's seed.
        epochs: int64 [n], or one for all.
        gids: int64 [n], the records.
        options: what to draw.

    Returns:
        float32 [n, k], a row of `COLUMNS` for each record.
    """
    u = _uniforms(seed, epochs, gids)
    columns = _identity(tf.shape(u)[0])
    columns |= _plain(u[:, _PLAIN:_RANDAUGMENT], options)
    if options.randaugment_ops:
        columns |= _randaugment(u[:, _RANDAUGMENT:_MIX], options, columns)
    if options.mixes:
        columns |= _mix(u[:, _MIX:], options)
    return tf.stack([columns[name] for name in COLUMNS], axis=1)


def draw_crops(seed: int, epochs: tf.Tensor, gids: tf.Tensor) -> tf.Tensor:
    """Uniform numbers for `decode.random_window`, float32 [n, 4]."""
    return _uniforms(seed, epochs, gids)[:, _CROP : _CROP + CROP_DRAWS]


def randaugment_reach(options: AugmentOptions) -> dict[str, float]:
    """The largest change that RandAugment makes to a parameter, by column; 0 where it is off."""
    strength = options.randaugment_magnitude / 10 if options.randaugment_ops else 0.0
    return {name: abs(reach) * strength for name, reach, _ in _RANDAUGMENT_OPS}


def _uniforms(seed: int, epochs: tf.Tensor, gids: tf.Tensor) -> tf.Tensor:
    gids = tf.convert_to_tensor(gids, tf.int64)
    epochs = tf.broadcast_to(tf.convert_to_tensor(epochs, tf.int64), tf.shape(gids))
    key = prng.tf_mix_key(seed, epochs, prng.AUGMENT_SALT)
    return prng.tf_uniforms(key, gids, _UNIFORMS)


def _identity(count: tf.Tensor) -> dict[str, tf.Tensor]:
    """The row that changes nothing."""
    columns = {name: tf.zeros([count]) for name in COLUMNS}
    for name in ("zoom", "brightness", "contrast", "saturation", "sharpness", "posterize", "mixup"):
        columns[name] = tf.ones([count])
    columns["solarize"] = tf.fill([count], 256.0)
    return columns


def _plain(u: tf.Tensor, options: AugmentOptions) -> dict[str, tf.Tensor]:
    def around(position: int, centre: float, reach: float) -> tf.Tensor:
        return centre + (2 * u[:, position] - 1) * reach

    return {
        "flip_horizontal": _happens(u[:, 0], 0.5 * (options.flips != "none")),
        "flip_vertical": _happens(u[:, 1], 0.5 * (options.flips == "both")),
        "quarter_turns": tf.floor(u[:, 2] * (4.0 if options.quarter_turns else 1.0)),
        "rotate": around(3, 0.0, math.radians(options.rotate_degrees)),
        "shear": around(4, 0.0, options.shear),
        "zoom": around(5, 1.0, options.zoom),
        "translate_y": around(6, 0.0, options.translate),
        "translate_x": around(7, 0.0, options.translate),
        "brightness": around(8, 1.0, options.brightness),
        "contrast": around(9, 1.0, options.contrast),
        "saturation": around(10, 1.0, options.saturation),
        **_erase(u[:, 11:16], options.erase),
    }


def _happens(u: tf.Tensor, probability: float) -> tf.Tensor:
    return tf.cast(u < probability, tf.float32)


def _erase(u: tf.Tensor, probability: float) -> dict[str, tf.Tensor]:
    happens = _happens(u[:, 0], probability)
    low, high = _ERASE_AREA
    area = low + (high - low) * u[:, 1]
    aspect = tf.exp((2 * u[:, 2] - 1) * math.log(_ERASE_MAX_ASPECT))
    return {
        "erase_height": happens * tf.minimum(tf.sqrt(area / aspect), 1.0),
        "erase_width": happens * tf.minimum(tf.sqrt(area * aspect), 1.0),
        "erase_y": u[:, 3],
        "erase_x": u[:, 4],
    }


def _randaugment(
    u: tf.Tensor, options: AugmentOptions, columns: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Chooses `randaugment_ops` different operations an image, all of one strength.

    The operations are applied in one fixed order, not in the drawn one: a device applies the same
    program to all images of a batch.
    """
    count = len(_RANDAUGMENT_OPS)
    ranks = tf.argsort(tf.argsort(u[:, :count]))
    chosen = tf.cast(ranks < options.randaugment_ops, tf.float32)
    strength = options.randaugment_magnitude / 10
    sign = tf.where(u[:, count] < 0.5, -1.0, 1.0)
    changed = {}
    for position, (name, reach, either_sign) in enumerate(_RANDAUGMENT_OPS):
        change = chosen[:, position] * (sign if either_sign else 1.0)
        if name == "posterize":
            # Up to 4 of the 8 bits go: steps of 1, 2, 4, 8, 16.
            changed[name] = 2.0 ** tf.round(change * reach * strength)
        elif name == "autocontrast":
            changed[name] = change  # There is no less or more of it.
        else:
            changed[name] = columns[name] + change * reach * strength
    return changed


def _mix(u: tf.Tensor, options: AugmentOptions) -> dict[str, tf.Tensor]:
    """Mixup's ratio and cutmix's box; where both are on, each image has one of the two."""
    both = options.mixup_alpha > 0 and options.cutmix_alpha > 0
    cuts = _happens(u[:, 0], 0.5 if both else float(options.cutmix_alpha > 0))
    mixup = _beta(u[:, 1], options.mixup_alpha) if options.mixup_alpha else tf.ones_like(cuts)
    area = _beta(u[:, 2], options.cutmix_alpha) if options.cutmix_alpha else tf.zeros_like(cuts)
    return {
        "mixup": tf.where(cuts > 0, 1.0, mixup),
        "cutmix_size": cuts * tf.sqrt(area),
        "cutmix_y": u[:, 3],
        "cutmix_x": u[:, 4],
    }


def _beta(u: tf.Tensor, alpha: float) -> tf.Tensor:
    """Beta(alpha, alpha) from uniform numbers, by its inverse distribution in a table."""
    table = tf.constant(_beta_quantiles(alpha), tf.float32)
    position = u * (_BETA_POINTS - 1)
    below = tf.cast(tf.floor(position), tf.int32)
    part = position - tf.floor(position)
    low, high = tf.gather(table, below), tf.gather(table, tf.minimum(below + 1, _BETA_POINTS - 1))
    return low + (high - low) * part


@functools.cache
def _beta_quantiles(alpha: float) -> np.ndarray:
    from scipy import special

    return special.betaincinv(alpha, alpha, np.linspace(0, 1, _BETA_POINTS))
