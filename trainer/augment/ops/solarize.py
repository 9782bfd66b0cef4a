"""Inverted highlights, as Pillow's ImageOps; RandAugment alone does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.lazy import lazy_import
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation, Drawn, Parameter, Reach
from trainer.augment.tensors import per_image

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@AUGMENTATIONS.register("solarize")
@dataclass(frozen=True, kw_only=True)
class Solarize(Augmentation):
    """Inverts the values from a threshold on."""

    order = 80
    parameters = (Parameter("solarize", 256.0, Reach(-256.0, either_sign=False, place=8)),)

    def apply(self, images: tf.Tensor, drawn: Drawn, strength: float) -> tf.Tensor:
        """At 256, nothing."""
        return tf.where(images >= per_image(drawn["solarize"]), 255 - images, images)
