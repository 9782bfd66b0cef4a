"""Images to logits and probabilities: members in one pass over a split, exports over photos.

`one_pass.py` runs all members over a dataset and keeps their logits (`cache.py`), with the views of
`tta.py`. `predictor.py` is an exported model as a function, `folder.py` brings photographs into the
form that datasets have. `resumable.py` is why a killed command goes on where it stopped.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.inference.folder import (
        Photo,
        list_photos,
        name_photos,
        prepare_photo,
        read_batches,
    )
    from ensemble.inference.loading import LoadedMember
    from ensemble.inference.one_pass import images_of, predict_members, run_members
    from ensemble.inference.predictor import SavedPredictor
    from ensemble.inference.resumable import ResumableRows, rows_towards
    from ensemble.inference.tta import (
        AUTO_VIEWS,
        NO_VIEWS,
        NUM_VIEWS,
        mean_logits,
        never_drawn,
        refuse_never_drawn,
        widest,
    )

__all__ = [
    "AUTO_VIEWS",
    "NO_VIEWS",
    "NUM_VIEWS",
    "LoadedMember",
    "Photo",
    "ResumableRows",
    "SavedPredictor",
    "images_of",
    "list_photos",
    "mean_logits",
    "name_photos",
    "never_drawn",
    "predict_members",
    "prepare_photo",
    "read_batches",
    "refuse_never_drawn",
    "rows_towards",
    "run_members",
    "widest",
]

__getattr__, __dir__ = attach(__name__)
