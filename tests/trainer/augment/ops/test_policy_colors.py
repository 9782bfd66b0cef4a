"""The four changes of color that RandAugment alone makes."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tests.trainer.datasets import smooth_image
from trainer.augment import Augmentation
from trainer.augment.ops.autocontrast import Autocontrast
from trainer.augment.ops.posterize import Posterize
from trainer.augment.ops.sharpness import Sharpness
from trainer.augment.ops.solarize import Solarize

IMAGE = smooth_image(0, 20, 30)
PILLOW = Image.fromarray(IMAGE)


def applied(augmentation: Augmentation, *values: float) -> np.ndarray:
    images = tf.constant(np.repeat(IMAGE[None].astype(np.float32), len(values), axis=0))
    drawn = {augmentation.parameters[0].name: tf.constant(values)}
    return augmentation.apply(images, drawn, 1.0).numpy()


def test_sharpness_any_factor_is_pillows():
    factors = (0.3, 1.0, 1.7)
    for ours, factor in zip(applied(Sharpness(), *factors), factors, strict=True):
        theirs = np.asarray(ImageEnhance.Sharpness(PILLOW).enhance(factor)).astype(float)
        # Pillow rounds on the way, and smooths no border pixels.
        assert abs(ours - theirs)[1:-1, 1:-1].max() <= 2


@pytest.mark.parametrize(
    "augmentation, value, pillows, tolerance",
    [
        (Posterize(), 16.0, ImageOps.posterize(PILLOW, 4), 0),
        (Solarize(), 100.0, ImageOps.solarize(PILLOW, 100), 0),
        (Autocontrast(), 1.0, ImageOps.autocontrast(PILLOW), 1),
    ],
)
def test_policy_color_neutral_changes_nothing_and_moved_is_pillows(
    augmentation, value, pillows, tolerance
):
    kept, changed = applied(augmentation, augmentation.parameters[0].neutral, value)
    assert (kept == IMAGE).all()
    assert abs(changed - np.asarray(pillows)).max() <= tolerance


def test_autocontrast_of_a_flat_channel_keeps_it():
    flat = tf.fill([1, 4, 4, 3], 77.0)
    drawn = {"autocontrast": tf.ones([1])}
    assert (Autocontrast().apply(flat, drawn, 1.0).numpy() == 77).all()
