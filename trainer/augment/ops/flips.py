"""Mirror images, left to right and top to bottom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.flags import option
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation, Drawn, Parameter
from trainer.augment.tensors import flip, happens

if TYPE_CHECKING:
    import tensorflow as tf


@AUGMENTATIONS.register("flips")
@dataclass(frozen=True, kw_only=True)
class Flips(Augmentation):
    """Each mirror image has half of the images."""

    flips: str = option("horizontal", "Random flips.", choices=("none", "horizontal", "both"))

    order = 10
    parameters = (Parameter("flip_horizontal"), Parameter("flip_vertical"))  # 0 or 1
    num_uniforms = 2
    first_uniform = 4
    off = {"flips": "none"}
    sheet = {"flips": {"flips": "both"}}

    @property
    def enabled(self) -> bool:
        """Whether there are any flips."""
        return self.flips != "none"

    def draw(self, uniforms: tf.Tensor) -> Drawn:
        """A coin for each axis."""
        return {
            "flip_horizontal": happens(uniforms[:, 0], 0.5),
            "flip_vertical": happens(uniforms[:, 1], 0.5 * (self.flips == "both")),
        }

    def apply(self, images: tf.Tensor, drawn: Drawn, strength: float) -> tf.Tensor:
        """Left and right change places, then top and bottom."""
        images = flip(images, drawn["flip_horizontal"], axis=2)
        if self.flips == "both":
            images = flip(images, drawn["flip_vertical"], axis=1)
        return images
