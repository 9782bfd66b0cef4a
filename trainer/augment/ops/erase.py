"""An erased box (Zhong et al. 2020, "Random Erasing Data Augmentation", section 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.flags import option
from orchard.lazy import lazy_import
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation, Drawn, Parameter
from trainer.augment.tensors import box, happens

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

_AREA = (0.02, 0.33)
_MAX_ASPECT = 1 / 0.3


@AUGMENTATIONS.register("erase")
@dataclass(frozen=True, kw_only=True)
class Erase(Augmentation):
    """Fills one box of some images with the image's mean color."""

    erase: float = option(
        0.0,
        "Probability that a box of 2 to 33 % of the area is erased, 0..1.",
        at_least=0,
        at_most=1,
    )

    order = 100
    parameters = (
        Parameter("erase_height"),  # part of the image's height; 0 erases nothing
        Parameter("erase_width"),  # part of its width
        Parameter("erase_y", neutral=None),  # the box's top, as a part of the room that it leaves
        Parameter("erase_x", neutral=None),  # its left, likewise
    )
    num_uniforms = 5
    first_uniform = 15
    sheet = {"erasing": {"erase": 1.0}}

    def draw(self, uniforms: tf.Tensor) -> Drawn:
        """A uniform area, and a log-uniform aspect."""
        erased = happens(uniforms[:, 0], self.erase)
        low, high = _AREA
        area = low + (high - low) * uniforms[:, 1]
        aspect = tf.exp((2 * uniforms[:, 2] - 1) * math.log(_MAX_ASPECT))
        return {
            "erase_height": erased * tf.minimum(tf.sqrt(area / aspect), 1.0),
            "erase_width": erased * tf.minimum(tf.sqrt(area * aspect), 1.0),
            "erase_y": uniforms[:, 3],
            "erase_x": uniforms[:, 4],
        }

    def apply(self, images: tf.Tensor, drawn: Drawn, strength: float) -> tf.Tensor:
        """The mean is that of the whole image."""
        height, width = drawn["erase_height"], drawn["erase_width"]
        top, left = drawn["erase_y"] * (1 - height), drawn["erase_x"] * (1 - width)
        mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
        return tf.where(box(images, top, top + height, left, left + width), mean, images)
