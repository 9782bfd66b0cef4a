"""AugmentOptions: what the training images go through."""

from dataclasses import dataclass
from typing import Any

from orchard.registry_options import RegistryOptions
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation, Mixing
from trainer.augment.ops.random_crop import RandomCrop


@dataclass(frozen=True, init=False, repr=False)
class AugmentOptions(RegistryOptions[Augmentation]):
    """The options of all augmentations, each off by default but for the flips.

    Ranges are symmetric: `rotate_degrees=10` draws uniformly from -10..10, `brightness=0.2` a
    factor from 0.8..1.2.

    >>> AugmentOptions(flips="both", rotate_degrees=10).rotate_degrees
    10.0

    Raises:
        OrchardError: on construction, when a value is impossible.
    """

    registry = AUGMENTATIONS

    @classmethod
    def ordered(cls) -> tuple[type[Augmentation], ...]:
        """The augmentations in the order that they are applied in."""
        return tuple(sorted(super().ordered(), key=lambda kind: kind.order))

    @classmethod
    def only(cls, **values: Any) -> "AugmentOptions":
        """These alone, all others off."""
        off = {name: value for kind in cls.ordered() for name, value in kind.off.items()}
        return cls(**(off | values))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the parameters in a row, those of disabled augmentations included."""
        return tuple(p.name for augmentation in self.members for p in augmentation.parameters)

    @property
    def mixing(self) -> tuple[Mixing, ...]:
        """Those that mix an image with its partner, and are on."""
        return tuple(m for m in self.members if isinstance(m, Mixing) and m.enabled)

    @property
    def crops(self) -> bool:
        """Whether the host decodes random crops."""
        return self[RandomCrop].enabled

    @property
    def needs_square(self) -> str:
        """The first flag of one that is on and takes square images only; "" if there is none."""
        found = (m for m in self.members if m.needs_square and m.enabled)
        return next((flag for m in found for flag in m.flags()), "")
