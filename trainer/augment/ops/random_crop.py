"""Random crops, which the host decodes: no larger part of an image than is needed."""

from __future__ import annotations

from dataclasses import dataclass

from orchard.flags import option
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation


@AUGMENTATIONS.register("random_crop")
@dataclass(frozen=True, kw_only=True)
class RandomCrop(Augmentation):
    """Resized crops of a random area and aspect; `trainer.data` takes them while decoding."""

    crop_min_area: float = option(
        1.0,
        "Random resized crops of at least this part of the area, 0..1; 1: none.",
        at_least=0.01,
        at_most=1,
    )
    crop_max_aspect: float = option(
        4 / 3, "Random crops' width to height at most, and its inverse.", at_least=1, at_most=10
    )

    order = 30
    num_uniforms = 4
    first_uniform = 0
    sheet = {"random crops": {"crop_min_area": 0.2}}

    @property
    def enabled(self) -> bool:
        """Whether there are any crops."""
        return self.crop_min_area < 1
