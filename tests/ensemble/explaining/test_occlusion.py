import numpy as np
import pytest

from ensemble.explaining import occlusion_heat, peak
from orchard.formats import Task


def _redness(images):
    """Two classes: how much red there is, and how much less."""
    red = (images[..., 0].astype(np.float64) - images[..., 1]).mean(axis=(1, 2)) / 20
    return np.stack([red, -red], axis=1).astype(np.float32)


def _image(height, width, row, column, side):
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[row : row + side, column : column + side, 0] = 250
    return pixels


@pytest.mark.parametrize("size", [(40, 40), (37, 61), (8, 8), (3, 5)])
def test_peak_is_where_the_class_is(size):
    side = max(1, min(size) // 4)
    row, column = size[0] - side - size[0] // 5, size[1] // 5
    image = _image(*size, row, column, side)
    for task in Task:
        heat = occlusion_heat(_redness, image, [0, 1], task)
        assert heat.shape == (2, *size) and heat.dtype == np.float32
        y, x = peak(heat[0])
        assert row <= y < row + side and column <= x < column + side
        # Less red speaks for the other class; the patch's mean color is a little red itself.
        assert heat[1].max() < 0.2 * heat[0].max()


def test_heat_is_the_same_whatever_the_batch_size():
    image = _image(40, 30, 5, 5, 12)
    one = occlusion_heat(_redness, image, [0], Task.SINGLE_LABEL, batch_size=7)
    np.testing.assert_array_equal(one, occlusion_heat(_redness, image, [0], Task.SINGLE_LABEL))
