"""Sharpness, as Pillow's ImageEnhance defines it; RandAugment alone changes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.lazy import lazy_import
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation, Drawn, Parameter, Reach
from trainer.augment.tensors import clip, per_image

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@AUGMENTATIONS.register("sharpness")
@dataclass(frozen=True, kw_only=True)
class Sharpness(Augmentation):
    """Multiplies the distance to the image smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13."""

    order = 60
    parameters = (Parameter("sharpness", 1.0, Reach(0.9, place=7)),)

    def apply(self, images: tf.Tensor, drawn: Drawn, strength: float) -> tf.Tensor:
        """Smooths, or the opposite."""
        padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
        height, width = images.shape[1:3]
        around = tf.add_n(
            [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
        )
        smooth = (around + 4 * images) / 13
        return clip(smooth + (images - smooth) * per_image(drawn["sharpness"]))
