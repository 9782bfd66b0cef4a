import numpy as np
import pytest
from PIL import Image

from ensemble import SavedPredictor
from orchard.errors import OrchardError
from orchard.formats import ExportDir, Task
from tests.ensemble.builders import CLASS_NAMES, make_ensemble, make_member, read_jpeg
from trainer.evaluation import probabilities
from trainer.results import export


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An ensemble of two members, and its result."""
    root = tmp_path_factory.mktemp("predictor")
    return root, make_ensemble(root)


def test_saved_predictor_of_a_run_gives_its_probabilities(world):
    root, result = world
    model = SavedPredictor(str(root / "a"))
    assert model.class_names == CLASS_NAMES
    jpeg = read_jpeg(result.inputs.records, 0)
    expected = probabilities(result.logits[0][:1], "single_label")
    np.testing.assert_allclose(model.predict([jpeg]), expected, atol=1e-5)
    assert SavedPredictor(str(root / "a" / "saved_model")).task == "single_label"


def test_saved_predictor_of_a_copied_saved_model_reads_the_task_in_it(tmp_path):
    import keras

    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    network = keras.Sequential(layers)
    serving = export.ServingModule(network, ("a", "b"), Task.MULTI_LABEL, 8, 8, "squash", False)
    export.export(network, serving, ExportDir(str(tmp_path)))
    model = SavedPredictor(tmp_path / "saved_model")
    assert model.task == "multi_label" and list(model.thresholds) == [0.5, 0.5]


def test_predict_jpegs_with_undecodable_pixels_gives_none_for_them(world):
    root, result = world
    model = SavedPredictor(str(root / "out" / "saved_model"))
    good = [read_jpeg(result.inputs.records, row) for row in range(2)]
    rows = model.predict_jpegs([good[0], b"\xff\xd8\xff\xe0 no scan", good[1]])
    assert rows[1] is None
    np.testing.assert_allclose(rows[0], result.probabilities[0], atol=1e-5)
    np.testing.assert_allclose(rows[2], result.probabilities[1], atol=1e-5)


def test_saved_predictor_of_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(OrchardError, match="holds no saved_model.pb"):
        SavedPredictor(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises(OrchardError, match="cannot be loaded"):
        SavedPredictor(str(tmp_path))


def test_predict_jpegs_of_a_model_that_gives_no_numbers_is_refused(world, tmp_path):
    root, result = world
    make_member(tmp_path / "nan", root / "leaves" / "1.0.0", noise=float("nan"))
    model = SavedPredictor(str(tmp_path / "nan"))
    with pytest.raises(OrchardError, match="gives logits that are not finite"):
        model.predict_jpegs([read_jpeg(result.inputs.records, 0)])


def test_predict_of_paths_and_bytes_prepares_them_as_a_dataset_does(world, tmp_path):
    root, _ = world
    lying = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    exif = lying.getexif()
    exif[0x0112] = 6  # the camera was turned
    lying.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    lying.rotate(-90, expand=True).save(tmp_path / "upright.png")
    model = SavedPredictor(root / "out")
    images = [tmp_path / "photo.jpg", (tmp_path / "photo.jpg").read_bytes()]
    rows = model.predict([*images, str(tmp_path / "upright.png")], batch_size=2)
    assert rows.shape == (3, 3) and rows.dtype == np.float32
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_allclose(rows[0], rows[2], atol=0.02)
    assert model.predict([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("image", "words"),
    [(b"<html>", "image 1: "), ("absent.jpg", "absent.jpg"), (b"\xff\xd8\xff\xe0", "image 1: ")],
)
def test_predict_of_what_is_no_image_names_it(world, image, words):
    root, result = world
    good = read_jpeg(result.inputs.records, 0)
    with pytest.raises(OrchardError, match=words):
        SavedPredictor(root / "a").predict([good, image])
