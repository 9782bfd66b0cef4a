"""A network: images 0..255 in, float32 logits out, its own preprocessing inside.

It is a functional Keras model of three parts: the preprocessing layers, a nested model called
"backbone" (image features after global pooling) and the head (dropout, Dense "logits"). Input:
float32 [batch, height, width, 3], 0..255 (uint8 is cast). Output: float32 logits [batch,
num_classes]. Nothing outside it knows how it scales pixels, and a saved one needs no code of ours.
"""

import os
from dataclasses import dataclass

import keras

from orchard.errors import OrchardError
from trainer.models import pretrained, registry

BACKBONE_LAYER = "backbone"
LOGITS_LAYER = "logits"


@dataclass(frozen=True)
class NetworkOptions:
    """What to build.

    Attributes:
        architecture: a name in `ARCHITECTURES`, or the path of a .keras file to take the
            backbone from.
        num_classes: columns of the logits.
        height_px: height of the images.
        width_px: width of the images.
        weights: "imagenet", "none" (random), or the path of a weights file. A .keras
            architecture brings its own ("auto" keeps them, "none" draws new ones).
        preprocessing: "auto", one of `PREPROCESSINGS`, or "MEAN/STD" such as "127/128".
        dropout: share of features dropped before the logits, 0..1.
    """

    architecture: str
    num_classes: int
    height_px: int
    width_px: int
    weights: str = "none"
    preprocessing: str = "auto"
    dropout: float = 0.0


def build_network(options: NetworkOptions) -> keras.Model:
    """The network of `options`, under the current Keras dtype policy and strategy scope."""
    registry.check_architecture(options.architecture)
    if registry.is_keras_file(options.architecture):
        backbone, preprocessing = _backbone_of_file(options)
    else:
        backbone, preprocessing = _backbone_of_registry(options)
    shape = (options.height_px, options.width_px, 3)
    images = keras.Input(shape, name="images", dtype="float32")
    features = backbone(preprocess(images, preprocessing))
    if options.dropout:
        features = keras.layers.Dropout(options.dropout, name="head_dropout")(features)
    head = keras.layers.Dense(options.num_classes, dtype="float32", name=LOGITS_LAYER)
    return keras.Model(images, head(features), name="network")


def preprocess(images, preprocessing: str):
    """Scale images 0..255 the way `preprocessing` says, in float32, as layers of the network."""
    rescaling = keras.layers.Rescaling
    if preprocessing == registry.INSIDE:
        return images
    if preprocessing == registry.ZERO_TO_ONE:
        return rescaling(1 / 255, dtype="float32", name="preprocessing")(images)
    if preprocessing == registry.SYMMETRIC:
        return rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="preprocessing")(images)
    if preprocessing == registry.TORCH:
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        scale = [1 / (255 * s) for s in std]
        offset = [-m / s for m, s in zip(mean, std, strict=True)]
        return rescaling(scale, offset, dtype="float32", name="preprocessing")(images)
    if preprocessing == registry.CAFFE:
        bgr = keras.ops.flip(images, axis=-1)
        offset = [-103.939, -116.779, -123.68]
        return rescaling(1.0, offset, dtype="float32", name="preprocessing")(bgr)
    mean, std = registry.mean_and_std(preprocessing)
    return rescaling(1 / std, -mean / std, dtype="float32", name="preprocessing")(images)


def _backbone_of_registry(options: NetworkOptions) -> tuple[keras.Model, str]:
    known = registry.ARCHITECTURES[options.architecture]
    if min(options.height_px, options.width_px) < known.min_size_px:
        raise OrchardError(
            f"--image_size={options.height_px}x{options.width_px} is too small for "
            f"{options.architecture}, which takes {known.min_size_px} px and up"
        )
    function = getattr(keras.applications, known.function)
    kwargs = {
        "include_top": False,
        "input_shape": (options.height_px, options.width_px, 3),
        "pooling": "avg",
    }
    if options.weights == "imagenet":
        features = _with_imagenet_weights(function, kwargs)
    else:
        features = function(weights=None, **kwargs)
    # Renamed by wrapping: keras.applications derives the file of the weights from the name.
    backbone = keras.Model(features.inputs, features.outputs[0], name=BACKBONE_LAYER)
    if options.weights not in ("none", "imagenet"):
        pretrained.load_into(backbone, options.weights)
    preprocessing = options.preprocessing
    return backbone, known.preprocessing if preprocessing == "auto" else preprocessing


def _with_imagenet_weights(function, kwargs: dict) -> keras.Model:
    try:
        return function(weights="imagenet", **kwargs)
    except Exception as error:  # keras.utils.get_file raises bare Exceptions.
        cache = os.path.join(os.environ.get("KERAS_HOME", os.path.expanduser("~/.keras")), "models")
        raise OrchardError(
            f"--weights=imagenet: the weights of {function.__name__} are not in {cache} and could "
            f"not be downloaded ({_first_line(error)}); on a machine with internet build "
            f"keras.applications.{function.__name__}(include_top=False) once, copy its file from "
            "there into that folder (or point KERAS_HOME at a copy), or use --weights=none|PATH"
        ) from None


def _backbone_of_file(options: NetworkOptions) -> tuple[keras.Model, str]:
    backbone = pretrained.load_backbone(
        options.architecture, options.height_px, options.width_px, BACKBONE_LAYER
    )
    preprocessing = options.preprocessing
    if preprocessing == "auto":
        if not pretrained.scales_its_input(backbone):
            raise OrchardError(
                f"--architecture={options.architecture} has no layer that scales its input; say "
                "what it was trained on with --preprocessing="
                + "|".join(registry.PREPROCESSINGS[1:])
                + ", "
                "MEAN/STD such as 127/128, or inside for plain 0..255"
            )
        preprocessing = registry.INSIDE
    if options.weights == "none":
        pretrained.reinitialize(backbone)
    elif options.weights not in ("auto", "imagenet"):
        pretrained.load_into(backbone, options.weights)
    return backbone, preprocessing


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
