import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tests.trainer.datasets import smooth_image
from trainer.augment import color

IMAGE = smooth_image(0, 20, 30)


def changed(change, *parameters) -> np.ndarray:
    images = tf.constant(np.repeat(IMAGE[None].astype(np.float32), len(parameters), axis=0))
    return change(images, tf.constant(parameters)).numpy()


@pytest.mark.parametrize(
    "change, enhance",
    [
        (color.brightness, ImageEnhance.Brightness),
        (color.contrast, ImageEnhance.Contrast),
        (color.saturation, ImageEnhance.Color),
        (color.sharpness, ImageEnhance.Sharpness),
    ],
)
def test_factors_are_pillows(change, enhance):
    factors = (0.3, 1.0, 1.7)
    for ours, factor in zip(changed(change, *factors), factors, strict=True):
        theirs = np.asarray(enhance(Image.fromarray(IMAGE)).enhance(factor)).astype(float)
        # Pillow rounds on the way, and smooths no border pixels.
        assert abs(ours - theirs)[1:-1, 1:-1].max() <= 2


def test_posterize_solarize_and_autocontrast_are_pillows():
    image = Image.fromarray(IMAGE)
    kept, coarse = changed(color.posterize, 1.0, 16.0)
    assert (kept == IMAGE).all()
    assert (coarse == np.asarray(ImageOps.posterize(image, 4))).all()
    kept, inverted = changed(color.solarize, 256.0, 100.0)
    assert (kept == IMAGE).all()
    assert (inverted == np.asarray(ImageOps.solarize(image, 100))).all()
    kept, stretched = changed(color.autocontrast, 0.0, 1.0)
    assert (kept == IMAGE).all()
    assert abs(stretched - np.asarray(ImageOps.autocontrast(image))).max() <= 1


def test_a_flat_channel_survives_autocontrast():
    flat = tf.fill([1, 4, 4, 3], 77.0)
    assert (color.autocontrast(flat, tf.ones([1])).numpy() == 77).all()
