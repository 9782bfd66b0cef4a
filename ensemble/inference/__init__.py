"""Members over images: one pass for all, test-time views, caches that survive a kill."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.inference.folder import Photo, list_photos, read_batches
    from ensemble.inference.one_pass import (
        LoadedMember,
        image_batches,
        predict_members,
        run_members,
    )
    from ensemble.inference.partial import PartialRows
    from ensemble.inference.predictor import SavedModel
    from ensemble.inference.tta import NUM_VIEWS, mean_logits

__all__ = [
    "LoadedMember",
    "NUM_VIEWS",
    "PartialRows",
    "Photo",
    "SavedModel",
    "image_batches",
    "list_photos",
    "mean_logits",
    "predict_members",
    "read_batches",
    "run_members",
]

__getattr__, __dir__ = attach(__name__)
