"""The networks that there are: every classifier of keras.applications, by name. No TensorFlow.

`trainer.models.build` builds them.
"""

import re
from dataclasses import dataclass

from orchard.errors import OrchardError

# What each family's weights were trained on, given pixels 0..255 (keras.applications'
# preprocess_input functions say the same): inside = the network scales by itself.
INSIDE, ZERO_TO_ONE, SYMMETRIC = "inside", "zero_to_one", "minus_one_to_one"
TORCH, CAFFE = "torch", "caffe"
PREPROCESSINGS = (INSIDE, ZERO_TO_ONE, SYMMETRIC, TORCH, CAFFE)


@dataclass(frozen=True)
class Architecture:
    """A classifier of keras.applications.

    Attributes:
        function: its name in keras.applications.
        image_size_px: side of the square images that its ImageNet weights were trained on.
        preprocessing: one of `PREPROCESSINGS`.
        min_size_px: smallest side that it takes.
    """

    function: str
    image_size_px: int
    preprocessing: str
    min_size_px: int = 32


def _efficientnet_sizes() -> dict[str, Architecture]:
    sizes = (224, 240, 260, 300, 380, 456, 528, 600)
    v2_sizes = {"B0": 224, "B1": 240, "B2": 260, "B3": 300, "S": 384, "M": 480, "L": 480}
    table = {
        f"efficientnet_b{i}": Architecture(f"EfficientNetB{i}", size, INSIDE)
        for i, size in enumerate(sizes)
    }
    for letter, size in v2_sizes.items():
        name = f"efficientnet_v2_{letter.lower()}"
        table[name] = Architecture(f"EfficientNetV2{letter}", size, INSIDE)
    return table


ARCHITECTURES: dict[str, Architecture] = {
    **_efficientnet_sizes(),
    **{
        f"convnext_{size.lower()}": Architecture(f"ConvNeXt{size}", 224, INSIDE)
        for size in ("Tiny", "Small", "Base", "Large", "XLarge")
    },
    **{f"densenet{n}": Architecture(f"DenseNet{n}", 224, TORCH) for n in (121, 169, 201)},
    "inception_resnet_v2": Architecture("InceptionResNetV2", 299, SYMMETRIC, 75),
    "inception_v3": Architecture("InceptionV3", 299, SYMMETRIC, 75),
    "mobilenet": Architecture("MobileNet", 224, SYMMETRIC),
    "mobilenet_v2": Architecture("MobileNetV2", 224, SYMMETRIC),
    "mobilenet_v3_large": Architecture("MobileNetV3Large", 224, INSIDE),
    "mobilenet_v3_small": Architecture("MobileNetV3Small", 224, INSIDE),
    "nasnet_large": Architecture("NASNetLarge", 331, SYMMETRIC),
    "nasnet_mobile": Architecture("NASNetMobile", 224, SYMMETRIC),
    **{f"resnet{n}": Architecture(f"ResNet{n}", 224, CAFFE) for n in (50, 101, 152)},
    **{f"resnet{n}_v2": Architecture(f"ResNet{n}V2", 224, SYMMETRIC) for n in (50, 101, 152)},
    "vgg16": Architecture("VGG16", 224, CAFFE),
    "vgg19": Architecture("VGG19", 224, CAFFE),
    "xception": Architecture("Xception", 299, SYMMETRIC, 71),
}


def is_keras_file(architecture: str) -> bool:
    """Whether the name is the path of a .keras file."""
    return architecture.endswith(".keras")


def check_architecture(architecture: str) -> None:
    """Raise OrchardError for a name that is neither known nor a .keras file."""
    if architecture in ARCHITECTURES or is_keras_file(architecture):
        return
    raise OrchardError(
        f"--architecture={architecture} is unknown; use one of {', '.join(ARCHITECTURES)}, "
        "or the path of a .keras file"
    )


def default_image_size_px(architecture: str) -> int | None:
    """Side of the images that the ImageNet weights were trained on; None if not known."""
    known = ARCHITECTURES.get(architecture)
    return known.image_size_px if known else None


def check_preprocessing(preprocessing: str) -> None:
    """Raise OrchardError for a value that --preprocessing does not take."""
    if preprocessing != "auto" and preprocessing not in PREPROCESSINGS:
        mean_and_std(preprocessing)


def mean_and_std(preprocessing: str) -> tuple[float, float]:
    """The numbers of "MEAN/STD", in units of 0..255; OrchardError if it is something else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", preprocessing)
    if match is None or float(match[2]) == 0:
        raise OrchardError(
            f"--preprocessing={preprocessing} must be auto, {', '.join(PREPROCESSINGS)}, or "
            "MEAN/STD in units of 0..255 such as 127/128"
        )
    return float(match[1]), float(match[2])
