"""Small rotations, shears, zooms and shifts, in ops that a TPU does fast.

A TPU gathers pixels one by one, slowly, so nothing here samples at computed positions: a zoom is
two matrix products, and a rotation is three shears (Unser, Thevenaz and Yaroslavsky 1995,
"Convolution-based interpolation for fast, high-quality rotation of images"). A shear moves each row
by its own amount: by powers of two, each taken or left (a barrel shifter), and by linear
interpolation for the fraction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.flags import option
from orchard.lazy import lazy_import
from trainer.augment.augmentation import AUGMENTATIONS, Augmentation, Drawn, Parameter, Reach
from trainer.augment.tensors import around

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

_POLICY_RADIANS, _POLICY_SHEAR = math.radians(30), 0.3  # RandAugment's furthest.


@AUGMENTATIONS.register("affine")
@dataclass(frozen=True, kw_only=True)
class Affine(Augmentation):
    """All in one class, since a zoom with a shift, and a rotation with a shear, cost one."""

    rotate_degrees: float = option(
        0.0, "Random rotation up to this, 0..45.", at_least=0, at_most=45
    )
    shear: float = option(
        0.0, "Random horizontal shear up to this, as a tangent, 0..0.5.", at_least=0, at_most=0.5
    )
    zoom: float = option(
        0.0, "Random zoom by 1 - zoom to 1 + zoom, 0..0.5.", at_least=0, at_most=0.5
    )
    translate: float = option(
        0.0, "Random shift up to this part of each side, 0..0.5.", at_least=0, at_most=0.5
    )

    order = 40
    parameters = (
        Parameter("rotate", reach=Reach(_POLICY_RADIANS, place=0)),  # radians, counter-clockwise
        # Columns that a row moves right, per row below the center.
        Parameter("shear", reach=Reach(_POLICY_SHEAR, place=1)),
        Parameter("zoom", neutral=1.0),  # factor; above 1 enlarges
        # Parts of height and width; positive moves down and right.
        Parameter("translate_y", reach=Reach(0.45, place=3)),
        Parameter("translate_x", reach=Reach(0.45, place=2)),
    )
    num_uniforms = 5
    first_uniform = 7
    sheet = {
        "rotation": {"rotate_degrees": 30},
        "shear": {"shear": 0.3},
        "zoom": {"zoom": 0.4},
        "translation": {"translate": 0.3},
    }

    def draw(self, uniforms: tf.Tensor) -> Drawn:
        """Each uniform in its range."""
        return {
            "rotate": around(uniforms[:, 0], 0.0, math.radians(self.rotate_degrees)),
            "shear": around(uniforms[:, 1], 0.0, self.shear),
            "zoom": around(uniforms[:, 2], 1.0, self.zoom),
            "translate_y": around(uniforms[:, 3], 0.0, self.translate),
            "translate_x": around(uniforms[:, 4], 0.0, self.translate),
        }

    def apply(self, images: tf.Tensor, drawn: Drawn, strength: float) -> tf.Tensor:
        """Zoom and shift, then rotation and shear: what is at its default costs nothing."""
        if strength or self.zoom or self.translate:
            images = zoom_and_shift(
                images, drawn["zoom"], drawn["translate_y"], drawn["translate_x"]
            )
        if strength or self.rotate_degrees or self.shear:
            images = rotate_and_shear(
                images,
                drawn["rotate"],
                drawn["shear"],
                max_radians=math.radians(self.rotate_degrees) + _POLICY_RADIANS * strength,
                max_shear=self.shear + _POLICY_SHEAR * strength,
            )
        return images


def zoom_and_shift(
    images: tf.Tensor, zoom: tf.Tensor, translate_y: tf.Tensor, translate_x: tf.Tensor
) -> tf.Tensor:
    """Enlarges about the center and moves; mirrored beyond the edges.

    Args:
        images: float32 [batch, height, width, channels].
        zoom: float32 [batch], factor.
        translate_y: float32 [batch], part of the height, positive moves down.
        translate_x: float32 [batch], part of the width, positive moves right.
    """
    rows = _sampling_matrix(images.shape[1], zoom, translate_y)
    columns = _sampling_matrix(images.shape[2], zoom, translate_x)
    images = tf.einsum("byh,bhwc->bywc", rows, images)
    return tf.einsum("bxw,bywc->byxc", columns, images)


def _sampling_matrix(size: int, zoom: tf.Tensor, translate: tf.Tensor) -> tf.Tensor:
    """Linear interpolation along one axis as a matrix, float32 [batch, size, size]."""
    center = (size - 1) / 2
    target = tf.range(size, dtype=tf.float32) - center
    source = (target[None, :] - translate[:, None] * size) / zoom[:, None] + center
    # Mirrored at the outer pixels: period 2 (size - 1).
    period = max(2 * (size - 1), 1)
    source = tf.abs((source + center * 2) % period - center * 2)
    distance = tf.abs(source[:, :, None] - tf.range(size, dtype=tf.float32)[None, None, :])
    return tf.maximum(0.0, 1.0 - distance)


def rotate_and_shear(
    images: tf.Tensor, radians: tf.Tensor, shear: tf.Tensor, max_radians: float, max_shear: float
) -> tf.Tensor:
    """Rotates counter-clockwise about the center, then shears; mirrored beyond the edges.

    Args:
        images: float32 [batch, height, width, channels].
        radians: float32 [batch].
        shear: float32 [batch], columns that a row moves right per row below the center.
        max_radians: bound of the radians, below pi / 2; it decides how much is computed.
        max_shear: bound of the shears.
    """
    height, width = images.shape[1:3]
    slope = math.tan(max_radians / 2) + max_shear
    # Content may leave the image in one shear and come back in another: it needs a margin.
    right = min(width - 1, math.ceil(slope * height / 2) + 1)
    down = min(height - 1, math.ceil(math.sin(max_radians) * (width / 2 + right)) + 1)
    right = min(width - 1, math.ceil(slope * (height / 2 + down)) + 1)
    canvas = tf.pad(images, [[0, 0], [down, down], [right, right], [0, 0]], mode="REFLECT")
    half = tf.tan(radians / 2)
    canvas = _shear_rows(canvas, half, slope)
    canvas = tf.transpose(canvas, [0, 2, 1, 3])
    canvas = _shear_rows(canvas, -tf.sin(radians), math.sin(max_radians))
    canvas = tf.transpose(canvas, [0, 2, 1, 3])
    canvas = _shear_rows(canvas, half + shear, slope)
    return canvas[:, down : down + height, right : right + width]


def _shear_rows(images: tf.Tensor, slopes: tf.Tensor, max_slope: float) -> tf.Tensor:
    """Moves every row right by slope x its distance below the center, in a circle.

    Args:
        images: float32 [batch, height, width, channels].
        slopes: float32 [batch].
        max_slope: bound of the slopes.
    """
    height = images.shape[1]
    if max_slope == 0:
        return images
    below = tf.range(height, dtype=tf.float32) - (height - 1) / 2
    reach = math.ceil(max_slope * (height - 1) / 2) + 1
    # Counted from -reach, so that the powers of two add up to any move.
    moves = tf.clip_by_value(slopes[:, None] * below[None, :], -reach, reach) + reach
    whole = tf.floor(moves)
    images = tf.roll(images, -reach, axis=2)
    bits = tf.cast(whole, tf.int32)
    for power in range((2 * reach).bit_length()):
        taken = (bits // 2**power) % 2 == 1
        images = tf.where(taken[:, :, None, None], tf.roll(images, 2**power, axis=2), images)
    part = (moves - whole)[:, :, None, None]
    return images + part * (tf.roll(images, 1, axis=2) - images)
