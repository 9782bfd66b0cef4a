"""Networks: images 0..255 in, float32 logits out, preprocessing inside.

Start in `build.py`: a network is its preprocessing, a backbone and a head. Backbones come from
`registry.py`, where a new architecture is one new file (in `architectures/`, or a plugin), as is a
source of many (in `sources/`), or from a .keras file (`pretrained.py`). `batch_norm.py` has what
BatchNorm needs under strategies; `flops.py` says what an image costs.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.models import batch_norm
    from trainer.models.build import (
        BACKBONE_LAYER,
        LOGITS_LAYER,
        NetworkOptions,
        backbone_fingerprint,
        build_network,
    )
    from trainer.models.flops import forward_flops
    from trainer.models.options import ModelOptions, parse_image_size
    from trainer.models.preprocessing import Scaling
    from trainer.models.pretrained import (
        is_run,
        keeps_head,
        load_model,
        model_of_json,
        settle_positions,
    )
    from trainer.models.registry import (
        ARCHITECTURE_SOURCES,
        ARCHITECTURES,
        Architecture,
        default_image_size_px,
        find_architecture,
        is_from_source,
        register_architecture,
        register_architecture_source,
    )

__all__ = [
    "ARCHITECTURES",
    "ARCHITECTURE_SOURCES",
    "Architecture",
    "BACKBONE_LAYER",
    "LOGITS_LAYER",
    "ModelOptions",
    "NetworkOptions",
    "Scaling",
    "backbone_fingerprint",
    "batch_norm",
    "build_network",
    "default_image_size_px",
    "find_architecture",
    "forward_flops",
    "is_from_source",
    "is_run",
    "keeps_head",
    "load_model",
    "model_of_json",
    "parse_image_size",
    "register_architecture",
    "register_architecture_source",
    "settle_positions",
]

__getattr__, __dir__ = attach(__name__)
