"""Images blended with their partners (Zhang et al. 2018, "mixup", equation 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.flags import option
from trainer.augment.augmentation import AUGMENTATIONS, Drawn, Mixing, Parameter
from trainer.augment.tensors import beta, partners, per_image

if TYPE_CHECKING:
    import tensorflow as tf


@AUGMENTATIONS.register("mixup")
@dataclass(frozen=True, kw_only=True)
class Mixup(Mixing):
    """Blends images, and their targets by the same ratio."""

    mixup_alpha: float = option(
        0.0, "Mixup: Beta(alpha, alpha) of the ratio; 0: none.", at_least=0, at_most=100
    )

    order = 120
    parameters = (Parameter("mixup", neutral=1.0),)  # weight of the image itself
    num_uniforms = 1
    first_uniform = 45
    sheet = {"mixup": {"mixup_alpha": 1.0}}

    def draw(self, uniforms: tf.Tensor) -> Drawn:
        """The ratio."""
        return {"mixup": beta(uniforms[:, 0], self.mixup_alpha)}

    def mix(
        self, images: tf.Tensor, targets: tf.Tensor, drawn: Drawn
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Weighted means."""
        own, own_targets = per_image(drawn["mixup"]), drawn["mixup"][:, None]
        images = own * images + (1 - own) * partners(images)
        return images, own_targets * targets + (1 - own_targets) * partners(targets)
