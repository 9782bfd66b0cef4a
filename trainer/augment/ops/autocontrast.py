"""Colors stretched to the full range, as Pillow's ImageOps; RandAugment alone does it."""

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


class _Switch(Reach):
    """There is no less or more of it."""

    def moved(self, value: tf.Tensor, direction: tf.Tensor, strength: float) -> tf.Tensor:
        """1 where RandAugment chose it, whatever the strength."""
        return direction


@AUGMENTATIONS.register("autocontrast")
@dataclass(frozen=True, kw_only=True)
class Autocontrast(Augmentation):
    """Stretches each channel of some images to 0..255; a flat channel stays."""

    order = 90
    parameters = (Parameter("autocontrast", 0.0, _Switch(1.0, either_sign=False, place=9)),)

    def apply(self, images: tf.Tensor, drawn: Drawn, strength: float) -> tf.Tensor:
        """From the smallest and largest value of each channel."""
        low = tf.reduce_min(images, axis=[1, 2], keepdims=True)
        high = tf.reduce_max(images, axis=[1, 2], keepdims=True)
        spread = high - low
        stretched = (images - low) * (255 / tf.maximum(spread, 1.0))
        wanted = per_image(drawn["autocontrast"]) > 0.5
        return tf.where(wanted & (spread >= 1), stretched, images)
