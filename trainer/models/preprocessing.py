"""How a network scales its pixels: the names of --preprocessing, and the layers they stand for.

Pixels come as 0..255. What each family of keras.applications was trained on is what its own
`preprocess_input` makes of them. Imports without TensorFlow.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.errors import OrchardError
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("trainer.keras_module")

AUTO = "auto"  # What the architecture was registered with.
INSIDE = "inside"  # The backbone scales by itself.
ZERO_TO_ONE, SYMMETRIC = "zero_to_one", "minus_one_to_one"
TORCH, CAFFE = "torch", "caffe"
PREPROCESSINGS = (INSIDE, ZERO_TO_ONE, SYMMETRIC, TORCH, CAFFE)


@dataclass(frozen=True)
class Scaling:
    """How pixels 0..255 are scaled: pixels * scale + offset.

    Attributes:
        scale: of all channels, or of each.
        offset: of all channels, or of each.
    """

    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0


_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SCALINGS = {
    ZERO_TO_ONE: Scaling(1 / 255),
    SYMMETRIC: Scaling(1 / 127.5, -1.0),
    TORCH: Scaling(
        tuple(1 / (255 * std) for std in _TORCH_STD),
        tuple(-mean / std for mean, std in zip(_TORCH_MEAN, _TORCH_STD, strict=True)),
    ),
    CAFFE: Scaling(1.0, (-103.939, -116.779, -123.68)),
}


def check_preprocessing(preprocessing: str) -> None:
    """Raise OrchardError for a value that --preprocessing does not take."""
    if preprocessing not in (AUTO, *PREPROCESSINGS):
        _mean_and_std(preprocessing)


def preprocess(images: "keras.KerasTensor", preprocessing: "str | Scaling") -> "keras.KerasTensor":
    """Scale images 0..255 the way `preprocessing` says, in float32, as layers of the network."""
    if preprocessing == INSIDE:
        return images
    if isinstance(preprocessing, Scaling):
        scaling = preprocessing
    elif preprocessing in _SCALINGS:
        scaling = _SCALINGS[preprocessing]
    else:
        mean, std = _mean_and_std(preprocessing)
        scaling = Scaling(1 / std, -mean / std)
    if preprocessing == CAFFE:  # It was trained on BGR.
        images = keras.ops.flip(images, axis=-1)
    scale, offset = (
        list(value) if isinstance(value, tuple) else value
        for value in (scaling.scale, scaling.offset)
    )
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")(images)


def _mean_and_std(preprocessing: str) -> tuple[float, float]:
    """The numbers of "MEAN/STD", in units of 0..255; OrchardError if it is something else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", preprocessing)
    if match is None or float(match[2]) == 0:
        raise OrchardError(
            f"--preprocessing={preprocessing} must be auto, {', '.join(PREPROCESSINGS)}, or "
            "MEAN/STD in units of 0..255 such as 127/128"
        )
    return float(match[1]), float(match[2])
