"""The decoder for other runtimes against the one of training."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble.formats import pixels
from tests.trainer.datasets import smooth_image
from trainer.data import decode_image

_SIZES = [(40, 60), (97, 61), (300, 410), (64, 64), (33, 500), (32, 32), (31, 33), (255, 129)]


def _encoded(height, width, kind="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(smooth_image(height, height, width)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_pixels_are_those_of_training(resize, exact):
    for height, width in _SIZES:
        for data in (_encoded(height, width, quality=92), _encoded(height, width, "PNG")):
            wanted = decode_image(data, 32, 48, resize, exact).numpy().astype(int)
            found = pixels.load(data, 32, 48, resize, exact)
            assert found.dtype == np.uint8 and found.shape == (32, 48, 3)
            off = np.abs(found - wanted)
            assert off.max() <= 1 and off.mean() < 0.05, (height, width, data[:4], off.max())


def test_gray_and_transparent_files_are_as_training_has_them():
    gray = io.BytesIO()
    Image.fromarray(smooth_image(1, 50, 70)).convert("L").save(gray, "JPEG")
    rgba = np.dstack([smooth_image(2, 50, 70), smooth_image(3, 50, 70)[..., 0]])
    clear = io.BytesIO()
    Image.fromarray(rgba).save(clear, "PNG")
    for data in (gray.getvalue(), clear.getvalue()):
        wanted = decode_image(data, 24, 24).numpy().astype(int)
        assert np.abs(pixels.load(data, 24, 24) - wanted).max() <= 1


def test_photo_that_a_camera_turned_is_upright(tmp_path):
    upright = smooth_image(4, 60, 90)
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise.
    path = tmp_path / "turned.png"
    Image.fromarray(np.rot90(upright)).save(path, exif=exif)
    found = pixels.load(path, 30, 45).astype(int)
    assert np.abs(found - pixels.load(_encoded_array(upright), 30, 45)).max() <= 1


def _encoded_array(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_file_needs_numpy_and_pillow_alone():
    tree = ast.parse(Path(pixels.__file__).read_text())
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported == {"io", "os", "numpy", "PIL"}
