"""Augmentation: drawn on the host from (seed, epoch, record), applied on the device.

The host draws a row of parameters an image (`draw`), and only these numbers cross to the device,
which changes the images by them (`apply`). A row is a pure function of (seed, epoch, record), so a
resumed run augments as if it had never stopped. Each augmentation is one file in `ops`; start with
`augmentation`, which says what one is.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.augment.apply import augment_batch, mix_batch
    from trainer.augment.augmentation import (
        AUGMENTATIONS,
        Augmentation,
        Drawn,
        Mixing,
        Parameter,
        Reach,
    )
    from trainer.augment.draw import draw_crops, draw_eagerly, draw_parameters
    from trainer.augment.options import AugmentOptions
    from trainer.augment.tensors import (
        around,
        beta,
        box,
        clip,
        gray,
        happens,
        partners,
        per_image,
    )

__all__ = [
    "AUGMENTATIONS",
    "AugmentOptions",
    "Augmentation",
    "Drawn",
    "Mixing",
    "Parameter",
    "Reach",
    "around",
    "augment_batch",
    "beta",
    "box",
    "clip",
    "draw_crops",
    "draw_eagerly",
    "draw_parameters",
    "gray",
    "happens",
    "mix_batch",
    "partners",
    "per_image",
]

__getattr__, __dir__ = attach(__name__)
