"""Where networks look in an image, and which training images are most like it.

`grad_cam.py` asks a network that ends in a feature map, `occlusion.py` any model; `explainer.py`
picks one for a member or a model. `picture.py` draws. `likeness.py` finds neighbors in feature
space, and says what to look at first where a prediction is wrong: the label, the photo or the
network. `photos.py` is where the images come from, `behind.py` which runs are behind a model.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.explaining.behind import members_behind, trained_on, training_records
    from ensemble.explaining.explainer import (
        Explainer,
        explain_member,
        explain_model,
        keras_network,
        shown_members,
    )
    from ensemble.explaining.grad_cam import GradCam, find_feature_map
    from ensemble.explaining.likeness import (
        Likeness,
        Suspect,
        Suspicion,
        TrainingFeatures,
        backbone_of,
        compute_features,
        normalized,
        suspect,
    )
    from ensemble.explaining.occlusion import occlusion_heat
    from ensemble.explaining.photos import FolderPhotos, Photos, RecordPhotos
    from ensemble.explaining.picture import heat_picture, peak, plain_picture

__all__ = [
    "Explainer",
    "FolderPhotos",
    "GradCam",
    "Likeness",
    "Photos",
    "RecordPhotos",
    "Suspect",
    "Suspicion",
    "TrainingFeatures",
    "backbone_of",
    "compute_features",
    "explain_member",
    "explain_model",
    "find_feature_map",
    "heat_picture",
    "keras_network",
    "members_behind",
    "normalized",
    "occlusion_heat",
    "peak",
    "plain_picture",
    "trained_on",
    "shown_members",
    "suspect",
    "training_records",
]

__getattr__, __dir__ = attach(__name__)
