"""A network: images 0..255 in, float32 logits out, its own preprocessing inside.

It is a functional Keras model of three parts: the preprocessing layers, a nested model called
"backbone" (image features after global pooling) and the head (dropout, Dense "logits"). Input:
float32 [batch, height, width, 3], 0..255 (uint8 is cast). Output: float32 logits [batch,
num_classes]. Nothing outside it knows how it scales pixels, and a saved one needs no code of ours.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from orchard.errors import OrchardError
from trainer.keras_module import keras
from trainer.models import pretrained
from trainer.models.preprocessing import AUTO, INSIDE, PREPROCESSINGS, Scaling, preprocess
from trainer.models.registry import (
    check_architecture,
    check_image_size,
    check_weights,
    find_architecture,
    is_keras_file,
)

BACKBONE_LAYER = "backbone"
LOGITS_LAYER = "logits"


@dataclass(frozen=True)
class NetworkOptions:
    """What to build.

    Attributes:
        architecture: a name in `ARCHITECTURES`, PREFIX:NAME of one of `ARCHITECTURE_SOURCES`, or
            the path of a .keras file to take the backbone from.
        num_classes: columns of the logits.
        height_px: height of the images.
        width_px: width of the images.
        weights: "imagenet", "none" (random), the path of a weights file, or a run directory. A
            .keras architecture brings its own ("auto" keeps them, "none" draws new ones).
        preprocessing: "auto", one of `PREPROCESSINGS`, or "MEAN/STD" such as "127/128".
        dropout: share of features dropped before the logits, 0..1.
        class_names: of the logits. A run whose weights are taken gives its head too, if it has
            these classes; else, or where they are not named, the head is drawn anew.
    """

    architecture: str
    num_classes: int
    height_px: int
    width_px: int
    weights: str = "none"
    preprocessing: str = AUTO
    dropout: float = 0.0
    class_names: tuple[str, ...] = ()

    @property
    def image_size_px(self) -> tuple[int, int]:
        """Height and width."""
        return self.height_px, self.width_px


def build_network(options: NetworkOptions) -> keras.Model:
    """The network of `options`, under the current Keras dtype policy and strategy scope."""
    check_architecture(options.architecture, options.weights)
    if is_keras_file(options.architecture):
        backbone, preprocessing = _backbone_of_file(options)
    else:
        backbone, preprocessing = _backbone_of_registry(options)
    images = keras.Input((*options.image_size_px, 3), name="images", dtype="float32")
    features = backbone(preprocess(images, preprocessing))
    if options.dropout:
        features = keras.layers.Dropout(options.dropout, name="head_dropout")(features)
    head = keras.layers.Dense(options.num_classes, dtype="float32", name=LOGITS_LAYER)
    network = keras.Model(images, head(features), name="network")
    if pretrained.keeps_head(options.weights, options.class_names):
        pretrained.load_head(head, options.weights)
    return network


def backbone_fingerprint(network: keras.Model) -> str:
    """SHA-256, in hex, over the weights of a network's backbone, in their order.

    Not over the head's, which are drawn anew for each training.
    """
    digest = hashlib.sha256()
    for variable in network.get_layer(BACKBONE_LAYER).weights:
        value = np.ascontiguousarray(variable.value.numpy())
        digest.update(f"{value.dtype} {value.shape}".encode() + b"\0" + value.tobytes())
    return digest.hexdigest()


def _backbone_of_registry(options: NetworkOptions) -> tuple[keras.Model, str | Scaling]:
    name, known = options.architecture, find_architecture(options.architecture)
    check_weights(name, known, options.weights)
    check_image_size(name, *options.image_size_px)
    preprocessing = known.preprocessing if options.preprocessing == AUTO else options.preprocessing
    if preprocessing is None:
        raise _unknown_preprocessing(name, "does not say how it scales its input")
    if pretrained.is_run(options.weights):
        own = pretrained.backbone_of_run(
            options.weights, name, BACKBONE_LAYER, options.image_size_px
        )
        if own is not None:
            return own, preprocessing
    build = known.build
    if options.weights == "imagenet" and known.build_imagenet:
        build = known.build_imagenet
    model = build(options.image_size_px)
    # Renamed by wrapping: keras.applications derives the file of the weights from the name.
    backbone = pretrained.as_backbone(
        f"the architecture {name!r}", model, BACKBONE_LAYER, options.image_size_px
    )
    if options.weights not in ("none", "imagenet"):
        pretrained.load_into(backbone, options.weights)
    return backbone, preprocessing


def _backbone_of_file(options: NetworkOptions) -> tuple[keras.Model, str | Scaling]:
    backbone = pretrained.load_backbone(options.architecture, BACKBONE_LAYER, options.image_size_px)
    preprocessing = options.preprocessing
    if preprocessing == AUTO:
        if not pretrained.scales_its_input(backbone):
            raise _unknown_preprocessing(options.architecture, "has no layer that scales its input")
        preprocessing = INSIDE
    if options.weights == "none":
        pretrained.reinitialize(backbone)
    elif options.weights not in ("auto", "imagenet"):
        pretrained.load_into(backbone, options.weights)
    return backbone, preprocessing


def _unknown_preprocessing(architecture: str, reason: str) -> OrchardError:
    return OrchardError(
        f"--architecture={architecture} {reason}; say what it was trained on with "
        f"--preprocessing={'|'.join(PREPROCESSINGS[1:])}, MEAN/STD such as 127/128, or inside for "
        "plain 0..255"
    )
