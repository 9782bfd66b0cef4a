"""Every classifier of keras.applications, from one table."""

import functools
import os
from typing import TYPE_CHECKING, NamedTuple

from orchard.errors import OrchardError, in_one_line
from orchard.lazy import lazy_import
from trainer.models.preprocessing import CAFFE, INSIDE, SYMMETRIC, TORCH
from trainer.models.registry import register_architecture

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("trainer.keras_module")

_MIN_SIZE_PX = 32


class Classifier(NamedTuple):
    """A row of the table.

    Attributes:
        function: its name in keras.applications.
        image_size_px: side of the images that its ImageNet weights were trained on.
        preprocessing: what its `preprocess_input` does.
        min_size_px: smallest side that it takes.
    """

    function: str
    image_size_px: int
    preprocessing: str
    min_size_px: int = _MIN_SIZE_PX


_EFFICIENTNET_PX = (224, 240, 260, 300, 380, 456, 528, 600)
_EFFICIENTNET_V2_PX = {"B0": 224, "B1": 240, "B2": 260, "B3": 300, "S": 384, "M": 480, "L": 480}

CLASSIFIERS: dict[str, Classifier] = {
    **{
        f"efficientnet_b{i}": Classifier(f"EfficientNetB{i}", size_px, INSIDE)
        for i, size_px in enumerate(_EFFICIENTNET_PX)
    },
    **{
        f"efficientnet_v2_{size.lower()}": Classifier(f"EfficientNetV2{size}", size_px, INSIDE)
        for size, size_px in _EFFICIENTNET_V2_PX.items()
    },
    **{
        f"convnext_{size.lower()}": Classifier(f"ConvNeXt{size}", 224, INSIDE)
        for size in ("Tiny", "Small", "Base", "Large", "XLarge")
    },
    **{f"densenet{n}": Classifier(f"DenseNet{n}", 224, TORCH) for n in (121, 169, 201)},
    "inception_resnet_v2": Classifier("InceptionResNetV2", 299, SYMMETRIC, 75),
    "inception_v3": Classifier("InceptionV3", 299, SYMMETRIC, 75),
    "mobilenet": Classifier("MobileNet", 224, SYMMETRIC),
    "mobilenet_v2": Classifier("MobileNetV2", 224, SYMMETRIC),
    "mobilenet_v3_large": Classifier("MobileNetV3Large", 224, INSIDE),
    "mobilenet_v3_small": Classifier("MobileNetV3Small", 224, INSIDE),
    "nasnet_large": Classifier("NASNetLarge", 331, SYMMETRIC),
    "nasnet_mobile": Classifier("NASNetMobile", 224, SYMMETRIC),
    **{f"resnet{n}": Classifier(f"ResNet{n}", 224, CAFFE) for n in (50, 101, 152)},
    **{f"resnet{n}_v2": Classifier(f"ResNet{n}V2", 224, SYMMETRIC) for n in (50, 101, 152)},
    "vgg16": Classifier("VGG16", 224, CAFFE),
    "vgg19": Classifier("VGG19", 224, CAFFE),
    "xception": Classifier("Xception", 299, SYMMETRIC, 71),
}


def _build(
    function: str, image_size_px: tuple[int, int], weights: str | None = None
) -> "keras.Model":
    return getattr(keras.applications, function)(
        include_top=False, weights=weights, input_shape=(*image_size_px, 3), pooling="avg"
    )


def _build_imagenet(function: str, image_size_px: tuple[int, int]) -> "keras.Model":
    try:
        return _build(function, image_size_px, "imagenet")
    except Exception as error:  # keras.utils.get_file raises bare Exceptions.
        cache = os.path.join(os.environ.get("KERAS_HOME", os.path.expanduser("~/.keras")), "models")
        raise OrchardError(
            f"--weights=imagenet: the weights of {function} are not in {cache} and could "
            f"not be downloaded ({in_one_line(error)}); on a machine with internet build "
            f"keras.applications.{function}(include_top=False) once, copy its file from "
            "there into that folder (or point KERAS_HOME at a copy), or use --weights=none|PATH"
        ) from None


for _name, _classifier in CLASSIFIERS.items():
    register_architecture(
        _name,
        image_size_px=_classifier.image_size_px,
        preprocessing=_classifier.preprocessing,
        min_size_px=_classifier.min_size_px,
        build_imagenet=functools.partial(_build_imagenet, _classifier.function),
    )(functools.partial(_build, _classifier.function))
