"""The SavedModel of a run, where others will run it."""

import os

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, softmax

from orchard.formats import ExportDir, Task
from tests.trainer import runs
from trainer.models.build import BACKBONE_LAYER
from trainer.results import export


def _images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)


def _load(run_dir):
    return tf.saved_model.load(os.path.join(run_dir, "saved_model"))


def test_export_keras_file_and_saved_model_agree_in_float32(config):
    import keras

    network = keras.models.load_model(os.path.join(config.run_dir, "model.keras"))
    dtypes = {layer.compute_dtype for layer in network.get_layer(BACKBONE_LAYER).layers}
    assert dtypes == {"float32"}
    logits = _load(config.run_dir).signatures["images"](images=tf.constant(_images()))["logits"]
    np.testing.assert_allclose(logits, network(_images().astype(np.float32)), atol=1e-5)


def test_images_signature_in_a_strategy_and_under_xla_gives_the_same_logits(config):
    loaded = _load(config.run_dir)
    signature = loaded.signatures["images"]
    images = tf.constant(_images())
    expected = signature(images=images)["logits"].numpy()
    compiled = tf.function(lambda x: signature(images=x)["logits"], jit_compile=True)
    np.testing.assert_allclose(compiled(images), expected, atol=1e-5)
    strategy = tf.distribute.OneDeviceStrategy("cpu:0")
    replicated = tf.function(
        lambda x: strategy.run(lambda y: signature(images=y)["logits"], args=(x,))
    )
    np.testing.assert_allclose(replicated(images), expected, atol=1e-6)
    both = tf.function(lambda x: strategy.run(compiled, args=(x,)))
    np.testing.assert_allclose(both(images), expected, atol=1e-5)


def test_default_signature_of_gray_and_odd_sized_files_gives_logits(config):
    from tests.trainer.datasets import jpeg

    files = [jpeg(np.full((9, 31), 77, np.uint8)), jpeg(_images(1)[0])]
    signature = _load(config.run_dir).signatures["serving_default"]
    logits = signature(image_bytes=tf.constant(files))["logits"]
    assert logits.shape == (2, runs.NUM_CLASSES) and np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("task", "activation"), [("single_label", softmax), ("multi_label", lambda x, axis: expit(x))]
)
def test_probabilities_signature_activates_the_logits_and_names_the_classes(
    tmp_path, task, activation
):
    import keras

    from tests.trainer.datasets import jpeg

    layers = [keras.Input((16, 16, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    network = keras.Sequential([*layers, keras.layers.Dense(2)])
    serving = export.ServingModule(network, ("a", "b"), Task(task), 16, 16, "squash", False)
    export.export(network, serving, ExportDir(str(tmp_path)))
    loaded, files = _load(tmp_path), tf.constant([jpeg(image) for image in _images()])
    assert loaded.task.numpy().decode() == task
    found = loaded.signatures["probabilities"](image_bytes=files)
    logits = loaded.signatures["serving_default"](image_bytes=files)["logits"].numpy()
    np.testing.assert_allclose(found["probabilities"], activation(logits, -1), atol=1e-6)
    assert found["class_names"].numpy().tolist() == [[b"a", b"b"]] * 4


def test_saved_model_converted_to_litert_gives_its_logits(config):
    path = os.path.join(config.run_dir, "saved_model")
    converter = tf.lite.TFLiteConverter.from_saved_model(path, signature_keys=["images"])
    converted = tf.lite.Interpreter(model_content=converter.convert())
    images = _images(1)
    logits = converted.get_signature_runner("images")(images=images)["logits"]
    expected = _load(config.run_dir).signatures["images"](images=tf.constant(images))["logits"]
    np.testing.assert_allclose(logits, expected, atol=1e-5)
