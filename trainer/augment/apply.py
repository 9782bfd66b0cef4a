"""The device's part of augmentation: images changed by the parameters drawn for them.

A pure function (images, parameters) -> images, the same eagerly and compiled by XLA; only numbers
cross to the device. On each replica a step does
`images = augment_batch(batch["image"], batch["augment"], options)`, then
`images, targets = mix_batch(images, batch["target"], batch["augment"], options,
batch["weight"])`.
"""

import tensorflow as tf

from trainer.augment.augmentation import Augmentation, Drawn
from trainer.augment.ops.randaugment import RandAugment
from trainer.augment.options import AugmentOptions
from trainer.augment.tensors import partners


def augment_batch(images: tf.Tensor, parameters: tf.Tensor, options: AugmentOptions) -> tf.Tensor:
    """Applies the drawn parameters, each image by itself, on the device.

    Args:
        images: uint8 or float [batch, height, width, 3], 0..255, static shape but for the batch.
        parameters: float32 [batch, k], from `draw_parameters`.
        options: as in the draw; what they leave off is not computed.

    Returns:
        float32 [batch, height, width, 3], 0..255.
    """
    images = tf.cast(images, tf.float32)
    policy = options[RandAugment]
    for augmentation in options.members:
        moved = policy.enabled and any(p.reach for p in augmentation.parameters)
        if augmentation.enabled or moved:
            drawn = _drawn(augmentation, parameters, options)
            images = augmentation.apply(images, drawn, policy.strength)
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
        parameters: float32 [batch, k], from `draw_parameters`.
        options: as in the draw.
        weights: float32 [batch]; a partner of weight 0 (a skipped record) isn't mixed in.

    Returns:
        (images, targets), as they came where nothing is mixed.
    """
    for mixing in options.mixing:
        drawn = _drawn(mixing, parameters, options)
        if weights is not None:
            counts = tf.cast(partners(weights) > 0, tf.float32)
            for p in mixing.parameters:
                if p.neutral is not None:
                    drawn[p.name] = p.neutral + (drawn[p.name] - p.neutral) * counts
        images, targets = mixing.mix(images, targets, drawn)
    return images, targets


def _drawn(augmentation: Augmentation, parameters: tf.Tensor, options: AugmentOptions) -> Drawn:
    index = {name: column for column, name in enumerate(options.columns)}
    return {p.name: parameters[:, index[p.name]] for p in augmentation.parameters}
