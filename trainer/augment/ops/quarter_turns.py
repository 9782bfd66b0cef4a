"""Rotation of square images by multiples of 90 degrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.errors import OrchardError
from orchard.flags import option
from orchard.lazy import lazy_import
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation, Drawn, Parameter
from trainer.augment.tensors import flip, per_image

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@AUGMENTATIONS.register("quarter_turns")
@dataclass(frozen=True, kw_only=True)
class QuarterTurns(Augmentation):
    """Rotates counter-clockwise by 0..3 quarter turns."""

    quarter_turns: bool = option(False, "Random rotations by 0, 90, 180 or 270 degrees (square).")

    order = 20
    parameters = (Parameter("quarter_turns"),)  # 0..3
    num_uniforms = 1
    first_uniform = 6
    needs_square = True
    sheet = {"quarter turns": {"quarter_turns": True}}

    def draw(self, uniforms: tf.Tensor) -> Drawn:
        """Each number of turns is as likely."""
        return {"quarter_turns": tf.floor(uniforms[:, 0] * 4.0)}

    def apply(self, images: tf.Tensor, drawn: Drawn, strength: float) -> tf.Tensor:
        """A quarter turn is a transposition and a flip, a half turn is two flips."""
        height, width = images.shape[1:3]
        if height != width:
            raise OrchardError(
                f"quarter turns need square images, received {height}x{width}; drop quarter_turns, "
                "or give images of one side"
            )
        turns = drawn["quarter_turns"]
        odd = per_image(turns % 2) > 0.5
        half = tf.cast(turns > 1.5, tf.float32)
        images = tf.where(odd, tf.reverse(tf.transpose(images, [0, 2, 1, 3]), [1]), images)
        return flip(flip(images, half, 1), half, 2)
