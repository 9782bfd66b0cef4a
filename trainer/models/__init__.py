"""Networks: images 0..255 in, float32 logits out, preprocessing inside."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.models import batch_norm
    from trainer.models.build import BACKBONE_LAYER, LOGITS_LAYER, NetworkOptions, build_network
    from trainer.models.pretrained import json_with_policy
    from trainer.models.registry import (
        ARCHITECTURES,
        check_architecture,
        check_preprocessing,
        default_image_size_px,
    )

__all__ = [
    "ARCHITECTURES",
    "BACKBONE_LAYER",
    "LOGITS_LAYER",
    "NetworkOptions",
    "batch_norm",
    "build_network",
    "check_architecture",
    "check_preprocessing",
    "default_image_size_px",
    "json_with_policy",
]

__getattr__, __dir__ = attach(__name__)
