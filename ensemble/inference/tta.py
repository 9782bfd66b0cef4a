"""Test-time augmentation: the views of an image whose logits are averaged, made on the device.

    none    the image as it is                                          1 forward pass
    flips   it, mirrored left-right, upside down, and both              4 forward passes
    d4      the eight symmetries of the square (flips and quarter turns) 8 forward passes

The mean is over logits, so it is one set of logits a member, whatever happens to them afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ensemble.members import Member
from orchard.errors import OrchardError
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

# Forward passes an image and member.
NUM_VIEWS = {"none": 1, "flips": 4, "d4": 8}


def check(members: Iterable[Member], tta: str) -> None:
    """Refuse quarter turns for members whose input is not square."""
    for member in members:
        size = member.input
        if tta == "d4" and size.height_px != size.width_px:
            raise OrchardError(
                f"--tta=d4 turns images by 90 degrees, but member {member.path} takes "
                f"{size.height_px}x{size.width_px} pixels; use --tta=flips"
            )


def mean_logits(
    network: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor, tta: str
) -> tf.Tensor:
    """Mean over the views of `network(view)`.

    Args:
        network: images -> logits.
        images: uint8 [batch, height, width, 3] (square for d4).
        tta: a key of `NUM_VIEWS`.

    Returns:
        float32 [batch, classes].
    """
    logits = [network(view) for view in views(images, tta)]
    return sum(logits[1:], logits[0]) / len(logits)


def views(images: tf.Tensor, tta: str) -> list[tf.Tensor]:
    """The views of images [batch, height, width, 3], each of the images' shape and type."""
    flipped = [images, tf.reverse(images, [2])]
    if tta == "none":
        return flipped[:1]
    if tta == "flips":
        return flipped + [tf.reverse(view, [1]) for view in flipped]
    return [tf.image.rot90(view, turns) for view in flipped for turns in range(4)]
