"""A box of the partner in each image (Yun et al. 2019, "CutMix")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.flags import option
from orchard.lazy import lazy_import
from trainer.augment.augmentation import AUGMENTATIONS, Drawn, Mixing, Parameter
from trainer.augment.tensors import beta, box, partners

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@AUGMENTATIONS.register("cutmix")
@dataclass(frozen=True, kw_only=True)
class Cutmix(Mixing):
    """Puts a box of the partner into each image; targets by the area that is seen of it."""

    cutmix_alpha: float = option(
        0.0,
        "Cutmix: Beta(alpha, alpha) of the area; 0: none; with mixup, each image has one of them.",
        at_least=0,
        at_most=100,
    )

    order = 130
    parameters = (
        Parameter("cutmix_size"),  # side of the box, as a part of the image's; 0 cuts nothing
        # Its center, as a part of height and width; what leaves the image is cut.
        Parameter("cutmix_y", neutral=None),
        Parameter("cutmix_x", neutral=None),
    )
    num_uniforms = 3
    first_uniform = 46
    sheet = {"cutmix": {"cutmix_alpha": 1.0}}

    def draw(self, uniforms: tf.Tensor) -> Drawn:
        """The area, and a center anywhere."""
        return {
            "cutmix_size": tf.sqrt(beta(uniforms[:, 0], self.cutmix_alpha)),
            "cutmix_y": uniforms[:, 1],
            "cutmix_x": uniforms[:, 2],
        }

    def mix(
        self, images: tf.Tensor, targets: tf.Tensor, drawn: Drawn
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The partner's pixels inside the box."""
        half, y, x = drawn["cutmix_size"] / 2, drawn["cutmix_y"], drawn["cutmix_x"]
        cut = box(images, y - half, y + half, x - half, x + half)
        area = tf.reduce_mean(tf.cast(cut, tf.float32), axis=[1, 2, 3])[:, None]
        images = tf.where(cut, partners(images), images)
        return images, (1 - area) * targets + area * partners(targets)
