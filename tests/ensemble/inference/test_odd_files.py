"""Odd image files mean the same to preparation, to `ensemble.predict` and to an exported model."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from ensemble.inference.folder import prepare_photo
from orchard.formats import Task, tfrecord
from tests.data_prep.builders import odd_images, run, write_csv
from trainer.data import decode_image, load_records, read_few
from trainer.keras_module import keras
from trainer.results.export import ServingModule

_SIDE_PX = 16
_ODD = odd_images()
# What a model makes of the file itself, where that is not what it makes of the record: see
# "image_bytes" in docs/reference/formats.md.
_NOT_TURNED = {"png_rotated"}
# The record is encoded anew.
_CLOSE = {name for name in _ODD if name.startswith(("png", "webp"))} | {"cmyk", "rotated"}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """The JPEGs of all files as prepared, as they are and shrunk: by "passed" and "shrunk"."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "images").mkdir()
    rows = []
    for position, (name, data) in enumerate(_ODD.items()):
        ending = "png" if name.startswith("png") else "webp" if name.startswith("webp") else "jpg"
        (folder / "images" / f"{name}.{ending}").write_bytes(data)
        rows.append((name, "ab"[position % 2]))
    csv = write_csv(folder / "train.csv", [("image_id", "label"), *rows])
    settings = {"csv": csv, "images_dir": str(folder / "images"), "decode_check": True}
    return {
        "passed": _jpegs(run(folder / "passed", **settings)[0]),
        "shrunk": _jpegs(run(folder / "shrunk", max_side_px=20, jpeg_quality=98, **settings)[0]),
    }


def _jpegs(dataset):
    table = load_records(dataset, "train")
    examples = read_few(table, list(range(len(table))))
    images = [tfrecord.Example(example).bytes_of("image") for example in examples]
    return dict(zip(table.ids.tolist(), images, strict=True))


@pytest.fixture(scope="module")
def model():
    """The JPEG signature of an exported model whose logits are its pixels."""
    network = keras.Sequential([keras.Input((_SIDE_PX, _SIDE_PX, 3)), keras.layers.Flatten()])
    names = tuple(map(str, range(3 * _SIDE_PX**2)))
    task = Task.SINGLE_LABEL
    serving = ServingModule(network, names, task, _SIDE_PX, _SIDE_PX, "squash", False)
    function = serving.signatures()["serving_default"]
    shape = (_SIDE_PX, _SIDE_PX, 3)
    return lambda data: function(image_bytes=tf.constant([data]))["logits"].numpy().reshape(shape)


def _pillow(data):
    """The picture as a person sees it, at the model's size."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return np.asarray(image.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BILINEAR), float)


@pytest.mark.parametrize("name", _ODD)
def test_predict_reads_an_odd_file_as_the_dataset_has_it(name, datasets):
    photo = prepare_photo(name, name, _ODD[name])
    assert not photo.problem and photo.jpeg == datasets["passed"][name]


@pytest.mark.parametrize("name", _ODD)
def test_record_of_an_odd_file_is_its_picture(name, datasets, model):
    found = model(datasets["passed"][name])
    np.testing.assert_array_equal(found, decode_image(datasets["passed"][name], _SIDE_PX, _SIDE_PX))
    assert np.abs(found - _pillow(_ODD[name])).mean() < 12


@pytest.mark.parametrize("name", _ODD)
def test_shrunk_record_of_an_odd_file_is_its_picture(name, datasets, model):
    assert np.abs(model(datasets["shrunk"][name]) - model(datasets["passed"][name])).mean() < 12


@pytest.mark.parametrize("name", sorted(_ODD.keys() - _NOT_TURNED))
def test_model_reads_an_odd_file_as_the_dataset_has_it(name, datasets, model):
    try:
        found = model(_ODD[name])
    except tf.errors.InvalidArgumentError:
        if not name.startswith("webp"):
            raise
        pytest.skip("this TensorFlow reads no WebP")
    difference = np.abs(found - model(datasets["passed"][name]))
    assert difference.mean() < 9 if name in _CLOSE else difference.max() == 0


@pytest.mark.parametrize("name", sorted(_NOT_TURNED))
def test_model_does_not_turn_a_png_by_its_exif(name, model):
    stored = Image.open(io.BytesIO(_ODD[name]))
    stored = np.asarray(stored.convert("RGB").resize((_SIDE_PX, _SIDE_PX)), float)
    assert np.abs(model(_ODD[name]) - stored).mean() < 12
