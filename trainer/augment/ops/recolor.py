"""Brightness, contrast and saturation, as Pillow's ImageEnhance defines them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.flags import option
from orchard.lazy import lazy_import
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation, Drawn, Parameter, Reach
from trainer.augment.tensors import around, clip, gray, per_image

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@AUGMENTATIONS.register("recolor")
@dataclass(frozen=True, kw_only=True)
class Recolor(Augmentation):
    """Factors around 1; all three in one class, since a compiler makes one pass of them."""

    brightness: float = option(
        0.0, "Random factor of brightness, 1 - this to 1 + this, 0..1.", at_least=0, at_most=1
    )
    contrast: float = option(0.0, "Random factor of contrast, likewise.", at_least=0, at_most=1)
    saturation: float = option(0.0, "Random factor of saturation, likewise.", at_least=0, at_most=1)

    order = 50
    parameters = (
        Parameter("brightness", 1.0, Reach(0.9, place=4)),  # of all values
        Parameter("contrast", 1.0, Reach(0.9, place=5)),  # of the distance to the mean gray
        Parameter("saturation", 1.0, Reach(0.9, place=6)),  # of the distance to the pixel's gray
    )
    num_uniforms = 3
    first_uniform = 12
    sheet = {
        "brightness": {"brightness": 0.6},
        "contrast": {"contrast": 0.8},
        "saturation": {"saturation": 1.0},
    }

    def draw(self, uniforms: tf.Tensor) -> Drawn:
        """Each uniform in its range."""
        reaches = (self.brightness, self.contrast, self.saturation)
        return {
            parameter.name: around(uniforms[:, column], 1.0, reaches[column])
            for column, parameter in enumerate(self.parameters)
        }

    def apply(self, images: tf.Tensor, drawn: Drawn, strength: float) -> tf.Tensor:
        """One after the other."""
        images = brightness(images, drawn["brightness"])
        images = contrast(images, drawn["contrast"])
        return saturation(images, drawn["saturation"])


def brightness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies all values."""
    return clip(images * per_image(factor))


def contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance to the image's mean gray."""
    mean = tf.reduce_mean(gray(images), axis=[1, 2, 3], keepdims=True)
    return clip(mean + (images - mean) * per_image(factor))


def saturation(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance of each pixel to its gray."""
    grays = gray(images)
    return clip(grays + (images - grays) * per_image(factor))
