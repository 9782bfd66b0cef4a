import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from orchard.errors import OrchardError
from tests.trainer.datasets import smooth_image
from trainer.augment import geometry

HEIGHT, WIDTH = 48, 64
# Away from the edges, where each library fills in something of its own.
INNER = (slice(14, 34), slice(14, 50))


@pytest.fixture(scope="module")
def image():
    return smooth_image(0, HEIGHT, WIDTH)


def batch(image: np.ndarray, count: int = 1) -> tf.Tensor:
    return tf.constant(np.repeat(image[None].astype(np.float32), count, axis=0))


def test_flips_and_turns_are_numpys(image):
    flags = tf.constant([1.0, 0.0])
    flipped = geometry.flip(batch(image, 2), flags, axis=2).numpy()
    assert (flipped[0] == image[:, ::-1]).all() and (flipped[1] == image).all()
    square = image[:, :HEIGHT]
    turned = geometry.turn(batch(square, 4), tf.constant([0.0, 1.0, 2.0, 3.0])).numpy()
    for turns in range(4):
        assert (turned[turns] == np.rot90(square, turns)).all()


def test_quarter_turns_need_squares(image):
    with pytest.raises(OrchardError, match="square images, received 48x64"):
        geometry.turn(batch(image), tf.zeros([1]))


@pytest.mark.parametrize("degrees", [-28, -7, 4, 15])
def test_rotation_by_shears_is_pillows_rotation(image, degrees):
    rotated = geometry.rotate_and_shear(
        batch(image), tf.constant([math.radians(degrees)]), tf.zeros([1]), math.radians(30), 0.0
    ).numpy()[0]
    expected = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR))
    assert abs(rotated - expected)[INNER].mean() < 1.5


def test_shear_moves_lower_rows_right(image):
    sheared = geometry.rotate_and_shear(
        batch(image), tf.zeros([1]), tf.constant([0.2]), 0.0, 0.3
    ).numpy()[0]
    centre = (HEIGHT - 1) / 2
    affine = (1, -0.2, 0.2 * (centre + 0.5), 0, 1, 0)
    expected = np.asarray(
        Image.fromarray(image).transform(
            (WIDTH, HEIGHT), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
        )
    )
    assert abs(sheared - expected)[INNER].mean() < 1


@pytest.mark.parametrize("zoom, y, x", [(1.25, 0.1, -0.1), (0.8, 0, 0), (1, 0, 0.2)])
def test_zoom_and_shift_are_pillows_affine_map(image, zoom, y, x):
    moved = geometry.zoom_and_shift(
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


def test_what_comes_in_at_the_edges_is_a_mirror_image(image):
    moved = geometry.zoom_and_shift(
        batch(image), tf.ones([1]), tf.zeros([1]), tf.constant([4 / WIDTH])
    ).numpy()[0]
    np.testing.assert_allclose(moved[:, :4], image[:, 4:0:-1], atol=1e-2)
