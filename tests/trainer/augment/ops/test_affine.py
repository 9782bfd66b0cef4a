import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.trainer.datasets import smooth_image
from trainer.augment.ops import affine

HEIGHT, WIDTH = 48, 64
# Away from the edges, where each library fills in something of its own.
INNER = (slice(14, 34), slice(14, 50))


@pytest.fixture(scope="module")
def image():
    return smooth_image(0, HEIGHT, WIDTH)


def batch(image: np.ndarray) -> tf.Tensor:
    return tf.constant(image[None].astype(np.float32))


@pytest.mark.parametrize("degrees", [-28, -7, 4, 15])
def test_rotate_and_shear_rotated_is_pillows_rotation(image, degrees):
    rotated = affine.rotate_and_shear(
        batch(image), tf.constant([math.radians(degrees)]), tf.zeros([1]), math.radians(30), 0.0
    ).numpy()[0]
    expected = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR))
    assert abs(rotated - expected)[INNER].mean() < 1.5


def test_rotate_and_shear_sheared_moves_lower_rows_right(image):
    sheared = affine.rotate_and_shear(
        batch(image), tf.zeros([1]), tf.constant([0.2]), 0.0, 0.3
    ).numpy()[0]
    center = (HEIGHT - 1) / 2
    matrix = (1, -0.2, 0.2 * (center + 0.5), 0, 1, 0)
    expected = np.asarray(
        Image.fromarray(image).transform(
            (WIDTH, HEIGHT), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
    )
    assert abs(sheared - expected)[INNER].mean() < 1


@pytest.mark.parametrize("zoom, y, x", [(1.25, 0.1, -0.1), (0.8, 0, 0), (1, 0, 0.2)])
def test_zoom_and_shift_any_is_pillows_affine_map(image, zoom, y, x):
    moved = affine.zoom_and_shift(
        batch(image), tf.constant([float(zoom)]), tf.constant([float(y)]), tf.constant([float(x)])
    ).numpy()[0]
    left = WIDTH / 2 - (WIDTH / 2 + x * WIDTH) / zoom
    top = HEIGHT / 2 - (HEIGHT / 2 + y * HEIGHT) / zoom
    expected = np.asarray(
        Image.fromarray(image).transform(
            (WIDTH, HEIGHT),
            Image.Transform.AFFINE,
            (1 / zoom, 0, left, 0, 1 / zoom, top),
            Image.Resampling.BILINEAR,
        )
    )
    assert abs(moved - expected)[INNER].mean() < 1


def test_zoom_and_shift_beyond_an_edge_shows_a_mirror_image(image):
    moved = affine.zoom_and_shift(
        batch(image), tf.ones([1]), tf.zeros([1]), tf.constant([4 / WIDTH])
    ).numpy()[0]
    np.testing.assert_allclose(moved[:, :4], image[:, 4:0:-1], atol=1e-2)
