import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from tests.trainer.datasets import smooth_image
from trainer.augment.ops import recolor

IMAGE = smooth_image(0, 20, 30)


@pytest.mark.parametrize(
    "change, enhance",
    [
        (recolor.brightness, ImageEnhance.Brightness),
        (recolor.contrast, ImageEnhance.Contrast),
        (recolor.saturation, ImageEnhance.Color),
    ],
)
def test_recolor_any_factor_is_pillows(change, enhance):
    factors = (0.3, 1.0, 1.7)
    images = tf.constant(np.repeat(IMAGE[None].astype(np.float32), 3, axis=0))
    changed = change(images, tf.constant(factors)).numpy()
    for ours, factor in zip(changed, factors, strict=True):
        theirs = np.asarray(enhance(Image.fromarray(IMAGE)).enhance(factor)).astype(float)
        assert abs(ours - theirs).max() <= 2  # Pillow rounds on the way.
