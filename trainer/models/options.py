"""Which network, as flags."""

import re
from dataclasses import dataclass, field

from orchard.errors import OrchardError
from orchard.flags import Kind, Options, option, required
from trainer.models.preprocessing import check_preprocessing
from trainer.models.registry import (
    check_architecture,
    check_image_size,
    default_image_size_px,
    is_from_source,
)


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options, group="network"):
    """Which network, from what weights, for images of what size."""

    architecture: str = field(
        metadata=required(
            "Name of a network, the path of a .keras file, or keras_hub:PRESET.", kind=Kind.RESULT
        )
    )
    image_size: str = option(
        "",
        "N or HEIGHTxWIDTH in px; default: what the network was made for.",
        kind=Kind.RESOLVED,
        common=True,
    )
    weights: str = option(
        "imagenet",
        "imagenet, none, a file, or a run directory, whose head is taken too if it has the same "
        "classes; a .keras file or preset keeps its own unless this is none.",
        common=True,
    )
    preprocessing: str = option(
        "auto", "What a backbone expects: auto, inside, minus_one_to_one, MEAN/STD, ..."
    )
    dropout: float = option(
        0.0, "Share of features dropped before the logits.", at_least=0, at_most=0.99
    )
    batch_norm: str = option(
        "train",
        "Backbone's batch normalization: train, or frozen as loaded.",
        choices=("train", "frozen"),
    )

    def check(self) -> None:
        """Refuse networks that are not known, and images without a size."""
        super().check()
        check_architecture(self.architecture, self.weights)
        check_preprocessing(self.preprocessing)
        if is_from_source(self.architecture):  # To ask it more may take a download.
            if self.image_size:
                parse_image_size(self.image_size)
        else:
            check_image_size(self.architecture, *self._size_px())

    @property
    def height_px(self) -> int:
        """Height of the images that the network sees."""
        return self._size_px()[0]

    @property
    def width_px(self) -> int:
        """Width of the images that the network sees."""
        return self._size_px()[1]

    def _size_px(self) -> tuple[int, int]:
        if self.image_size:
            return parse_image_size(self.image_size)
        side = default_image_size_px(self.architecture)
        if side is None:
            raise OrchardError(f"--architecture={self.architecture} needs --image_size")
        return side, side


def parse_image_size(text: str) -> tuple[int, int]:
    """'512' or '480x768' (height x width) to (height, width) in px."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None or int(match[1]) == 0 or (match[2] and int(match[2]) == 0):
        raise OrchardError(f"--image_size={text}: give N or HEIGHTxWIDTH in px: 512, 480x768")
    return int(match[1]), int(match[2] or match[1])
