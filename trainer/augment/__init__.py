"""Augmentation: drawn on the host from (seed, epoch, record), applied on the device."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.augment.apply import augment_batch, draw_eagerly, mix_batch
    from trainer.augment.draw import draw_crops, draw_parameters
    from trainer.augment.options import COLUMNS, AugmentOptions

__all__ = [
    "AugmentOptions",
    "COLUMNS",
    "augment_batch",
    "draw_crops",
    "draw_eagerly",
    "draw_parameters",
    "mix_batch",
]

__getattr__, __dir__ = attach(__name__)
