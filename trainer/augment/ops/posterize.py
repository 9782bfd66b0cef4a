"""Fewer levels of each color, as Pillow's ImageOps; RandAugment alone does it."""

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


class _Bits(Reach):
    """Up to 4 of the 8 bits go: steps of 1, 2, 4, 8, 16."""

    def moved(self, value: tf.Tensor, direction: tf.Tensor, strength: float) -> tf.Tensor:
        """The step that is left by so many bits."""
        return 2.0 ** tf.round(direction * self.change * strength)


@AUGMENTATIONS.register("posterize")
@dataclass(frozen=True, kw_only=True)
class Posterize(Augmentation):
    """Rounds values down to multiples of a step, a power of two."""

    order = 70
    parameters = (Parameter("posterize", 1.0, _Bits(4.0, either_sign=False, place=10)),)

    def apply(self, images: tf.Tensor, drawn: Drawn, strength: float) -> tf.Tensor:
        """Where there is a step."""
        step = per_image(drawn["posterize"])
        return tf.where(step > 1, tf.floor(images / step) * step, images)
