"""RandAugment (Cubuk et al. 2020): random ones of the others, all as strong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.flags import option
from orchard.lazy import lazy_import
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation, Drawn, Reach

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@AUGMENTATIONS.register("randaugment")
@dataclass(frozen=True, kw_only=True)
class RandAugment(Augmentation):
    """Moves parameters of the other augmentations, those that have a `reach`.

    What it chose is applied in the one order of all, not in a drawn one: a device applies the same
    program to all images of a batch.
    """

    randaugment_ops: int = option(
        0, "RandAugment: operations an image; 0: none.", at_least=0, at_most=10
    )
    randaugment_magnitude: float = option(
        9.0, "RandAugment: strength of each operation, 0..10.", at_least=0, at_most=10
    )

    order = 110
    num_uniforms = 12
    first_uniform = 24
    sheet = {"RandAugment": {"randaugment_ops": 2}}

    @property
    def enabled(self) -> bool:
        """Whether it chooses any."""
        return self.randaugment_ops > 0

    @property
    def strength(self) -> float:
        """0..1; 0 where it is off."""
        return self.randaugment_magnitude / 10 if self.enabled else 0.0

    def move(
        self,
        drawn: Drawn,
        reaches: Mapping[str, Reach],
        priorities: tf.Tensor,
        uniforms: tf.Tensor,
    ) -> Drawn:
        """The parameters that it changes, changed.

        Args:
            drawn: all parameters.
            reaches: by the name of the parameter.
            priorities: float32 [n, len(reaches)]: the smallest numbers of an image are chosen.
            uniforms: its own, [n, num_uniforms]; the last decides the sign.
        """
        ranks = tf.argsort(tf.argsort(priorities))
        chosen = tf.cast(ranks < self.randaugment_ops, tf.float32)
        sign = tf.where(uniforms[:, -1] < 0.5, -1.0, 1.0)
        changed = {}
        for column, (name, reach) in enumerate(reaches.items()):
            direction = chosen[:, column] * (sign if reach.either_sign else 1.0)
            changed[name] = reach.moved(drawn[name], direction, self.strength)
        return changed
