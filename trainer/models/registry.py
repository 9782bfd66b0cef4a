"""The architectures by name. A new one is a new file in `architectures/`, or a plugin of yours.

    @register_architecture("leaf_net", image_size_px=64, preprocessing="zero_to_one")
    def leaf_net(image_size_px: tuple[int, int]) -> keras.Model: ...

A source of many, in `sources/` or a plugin, finds what is behind its prefix:

    @register_architecture_source("keras_hub")
    def find(name: str) -> Architecture: ...  # --architecture=keras_hub:NAME

Imports without TensorFlow; `trainer.models.build` calls the functions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from orchard.errors import OrchardError
from orchard.registry import Registry
from trainer.models.preprocessing import INSIDE, Scaling, check_preprocessing

if TYPE_CHECKING:
    import keras

# (height, width) in px -> a model of images [batch, height, width, 3] that gives features [batch,
# n], or a feature map [batch, rows, columns, n], which is averaged.
BuildBackbone: TypeAlias = Callable[[tuple[int, int]], "keras.Model"]


@dataclass(frozen=True)
class Architecture:
    """A network without its head.

    Attributes:
        build: makes the backbone, its weights drawn anew.
        image_size_px: side of the square images that it was made for: the default --image_size.
            None: not known.
        preprocessing: how it expects its pixels: one of `PREPROCESSINGS`, "MEAN/STD", or numbers.
            None: not known.
        min_size_px: smallest side that it takes.
        build_imagenet: makes it with its pretrained weights, which --weights=imagenet (the
            default) asks for; None: there are none.
        license: of the pretrained weights, as their source says it; empty: it does not.
    """

    build: BuildBackbone
    image_size_px: int | None
    preprocessing: str | Scaling | None = INSIDE
    min_size_px: int = 1
    build_imagenet: BuildBackbone | None = None
    license: str = ""


# From what follows the prefix to the architecture; OrchardError where there is none, or where what
# it comes from is not installed. It may be asked often, and should remember what it read.
FindArchitecture: TypeAlias = Callable[[str], Architecture]

ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture", package="trainer.models.architectures"
)
ARCHITECTURE_SOURCES: Registry[FindArchitecture] = Registry(
    "architecture source", package="trainer.models.sources"
)


def register_architecture(
    name: str,
    *,
    image_size_px: int,
    preprocessing: str = INSIDE,
    min_size_px: int = 1,
    build_imagenet: BuildBackbone | None = None,
) -> Callable[[BuildBackbone], BuildBackbone]:
    """A decorator: its function builds the backbone of --architecture=`name`.

    The function is called with (height, width) in px, under the Keras dtype policy and strategy of
    the run. Its model takes float32 images, scaled as `preprocessing` says.

    Args:
        name: what --architecture takes.
        image_size_px: see `Architecture`, as the others.
        preprocessing: how the backbone expects its pixels.
        min_size_px: smallest side that it takes.
        build_imagenet: makes it with ImageNet weights, where there are such.
    """
    check_preprocessing(preprocessing)

    def register(build: BuildBackbone) -> BuildBackbone:
        ARCHITECTURES.register(name)(
            Architecture(build, image_size_px, preprocessing, min_size_px, build_imagenet)
        )
        return build

    return register


def register_architecture_source(prefix: str) -> Callable[[FindArchitecture], FindArchitecture]:
    """A decorator: its function finds the architecture of --architecture=`prefix`:NAME, by NAME.

    It is called where the network is built, and where --image_size is not given; see
    `FindArchitecture`.
    """
    return ARCHITECTURE_SOURCES.register(prefix)


def is_keras_file(architecture: str) -> bool:
    """Whether the name is the path of a .keras file."""
    return architecture.endswith(".keras") and not is_from_source(architecture)


def is_from_source(architecture: str) -> bool:
    """Whether the name is `PREFIX:NAME` with the prefix of a source."""
    prefix, colon, _ = architecture.partition(":")
    return bool(colon) and prefix in ARCHITECTURE_SOURCES


def find_architecture(architecture: str) -> Architecture:
    """What the name stands for: a registered network, or one of a source.

    Raises:
        OrchardError: there is none, or the source cannot read it.
    """
    if is_from_source(architecture):
        prefix, _, name = architecture.partition(":")
        return ARCHITECTURE_SOURCES[prefix](name)
    return ARCHITECTURES[architecture]


def check_architecture(architecture: str, weights: str) -> None:
    """Raise OrchardError for an unknown name, or weights that the architecture does not have.

    What is behind a source's name may have to be downloaded: `check_weights` looks when the
    network is built.
    """
    if is_keras_file(architecture):
        return
    if is_from_source(architecture):
        if architecture.endswith(":"):
            raise OrchardError(f"--architecture={architecture} names nothing after the colon")
        return
    if architecture not in ARCHITECTURES:
        sources = ", ".join(f"{prefix}:NAME" for prefix in ARCHITECTURE_SOURCES)
        raise OrchardError(
            f"--architecture={architecture} is unknown; use one of {', '.join(ARCHITECTURES)}, "
            f"{sources}, the path of a .keras file, or name the module that registers yours in "
            "--plugins"
        )
    check_weights(architecture, ARCHITECTURES[architecture], weights)


def check_weights(name: str, architecture: Architecture, weights: str) -> None:
    """Raise OrchardError for pretrained weights of an architecture that has none."""
    if weights == "imagenet" and architecture.build_imagenet is None:
        raise OrchardError(
            f"--weights=imagenet: {name} comes without ImageNet weights; use "
            "--weights=none, or the path of a weights file"
        )


def check_image_size(architecture: str, height_px: int, width_px: int) -> None:
    """Raise OrchardError for images that are smaller than the architecture takes."""
    smallest = 1 if is_keras_file(architecture) else find_architecture(architecture).min_size_px
    if min(height_px, width_px) < smallest:
        raise OrchardError(
            f"--image_size={height_px}x{width_px} is too small for {architecture}, which takes "
            f"{smallest} px and up"
        )


def default_image_size_px(architecture: str) -> int | None:
    """Side of the images that the architecture was made for; None if not known (a file)."""
    return None if is_keras_file(architecture) else find_architecture(architecture).image_size_px
