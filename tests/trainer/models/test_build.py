import importlib
import types

import keras
import numpy as np
import pytest

from orchard.errors import OrchardError
from trainer.models import pretrained, registry
from trainer.models.build import BACKBONE_LAYER, NetworkOptions, build_network, preprocess

_MODULES = {
    registry.SYMMETRIC: "mobilenet_v2",
    registry.TORCH: "densenet",
    registry.CAFFE: "resnet",
}


def _pixels(size=32):
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype(np.float32)


def test_every_architecture_is_a_classifier_of_keras_applications():
    names = {known.function for known in registry.ARCHITECTURES.values()}
    theirs = {n for n in dir(keras.applications) if callable(getattr(keras.applications, n))}
    assert names == theirs
    assert len(names) == len(registry.ARCHITECTURES)


@pytest.mark.parametrize("preprocessing", sorted(_MODULES))
def test_preprocessing_is_keras_own(preprocessing):
    module = importlib.import_module(f"keras.applications.{_MODULES[preprocessing]}")
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, preprocess(inputs, preprocessing))
    expected = module.preprocess_input(_pixels().copy())
    np.testing.assert_allclose(model(_pixels()), expected, atol=1e-4)


def test_preprocessing_can_be_stated_as_mean_and_deviation():
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, preprocess(inputs, "127/128"))
    np.testing.assert_allclose(model(_pixels(4)), (_pixels(4) - 127) / 128, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet50", "efficientnet_b0"])
def test_a_network_takes_pixels_and_gives_float32_logits(name):
    network = build_network(NetworkOptions(name, 5, 32, 48))
    logits = network(np.zeros((2, 32, 48, 3), np.uint8))
    assert logits.shape == (2, 5) and logits.dtype == "float32"
    restored = keras.models.model_from_json(network.to_json())
    assert restored.get_layer(BACKBONE_LAYER).count_params() > 0


def test_too_small_images_are_refused():
    with pytest.raises(OrchardError, match="75 px and up"):
        build_network(NetworkOptions("inception_v3", 5, 64, 64))


def test_imagenet_weights_that_cannot_be_had_are_explained(monkeypatch, tmp_path):
    def offline(**_):
        raise Exception("URL fetch failure on https://storage.googleapis.com: no route")

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(OrchardError, match="could not be downloaded.*KERAS_HOME") as caught:
        build_network(NetworkOptions("mobilenet_v2", 5, 32, 32, weights="imagenet"))
    assert "\n" not in str(caught.value)


def test_a_keras_file_gives_its_features_without_its_head(tiny_backbone):
    network = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="imagenet"))
    original = keras.models.load_model(tiny_backbone)
    features = keras.Model(original.inputs, original.layers[-2].output)
    ours = network.get_layer(BACKBONE_LAYER)(_pixels(16))
    np.testing.assert_allclose(ours, features(_pixels(16)), rtol=1e-6)
    assert network.output_shape == (None, 3)


def test_none_throws_a_files_weights_away(tiny_backbone):
    kept = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="imagenet"))
    fresh = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="none"))
    kernels = [n.get_layer(BACKBONE_LAYER).trainable_variables[0].numpy() for n in (kept, fresh)]
    assert not np.allclose(*kernels)


def test_a_backbone_that_does_not_scale_its_input_needs_to_be_told(tmp_path):
    inputs = keras.Input((16, 16, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)).save(tmp_path / "raw.keras")
    path = str(tmp_path / "raw.keras")
    with pytest.raises(OrchardError, match="--preprocessing=zero_to_one"):
        build_network(NetworkOptions(path, 3, 16, 16))
    network = build_network(NetworkOptions(path, 3, 16, 16, preprocessing="127/128"))
    assert network.get_layer(BACKBONE_LAYER).output_shape == (None, 4)
    with pytest.raises(OrchardError, match="takes images of"):
        build_network(NetworkOptions(path, 3, 32, 32, preprocessing="inside"))


def test_a_trained_network_is_a_backbone_too(tmp_path, tiny_backbone):
    trained = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="imagenet"))
    trained.save(tmp_path / "model.keras")
    again = build_network(
        NetworkOptions(str(tmp_path / "model.keras"), 7, 16, 16, weights="imagenet")
    )
    expected = trained.get_layer(BACKBONE_LAYER)(_pixels(16))
    np.testing.assert_allclose(again.get_layer(BACKBONE_LAYER)(_pixels(16)), expected, rtol=1e-6)


def test_weights_come_from_files_of_the_same_backbone_only(tmp_path, tiny_backbone):
    donor = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="imagenet"))
    donor.save(tmp_path / "donor.keras")
    taker = build_network(NetworkOptions(tiny_backbone, 9, 16, 16, weights="none"))
    pretrained.load_into(taker.get_layer(BACKBONE_LAYER), str(tmp_path / "donor.keras"))
    for ours, theirs in zip(
        taker.get_layer(BACKBONE_LAYER).weights,
        donor.get_layer(BACKBONE_LAYER).weights,
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    other = build_network(NetworkOptions("mobilenet_v3_small", 3, 32, 32))
    with pytest.raises(OrchardError, match="does not fit"):
        pretrained.load_into(other.get_layer(BACKBONE_LAYER), str(tmp_path / "donor.keras"))


@pytest.mark.parametrize("name", ["imagnet", "b7.weights.h5", "b7.keras"])
def test_weights_that_are_not_there_are_told_so(tiny_backbone, name):
    with pytest.raises(OrchardError, match=f"--weights={name} does not exist; give imagenet, none"):
        build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights=name))


def test_backbones_and_weights_are_read_from_gcs_too(tmp_path, tiny_backbone, monkeypatch):
    with open(tiny_backbone, "rb") as file:
        objects = {"gs://bucket/tiny.keras": file.read()}
    bucket = types.SimpleNamespace(
        exists=objects.__contains__,
        is_gcs=lambda path: path.startswith("gs://"),
        read_bytes=objects.__getitem__,
    )
    local = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="imagenet"))
    monkeypatch.setattr(pretrained, "storage", bucket)
    options = NetworkOptions("gs://bucket/tiny.keras", 3, 16, 16, weights="imagenet")
    remote = build_network(options).get_layer(BACKBONE_LAYER)
    local = local.get_layer(BACKBONE_LAYER)
    np.testing.assert_array_equal(remote(_pixels(16)), local(_pixels(16)))


@pytest.mark.parametrize("content", [None, b"not a zip"])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "x.keras"
    if content:
        path.write_bytes(content)
    with pytest.raises(OrchardError, match="x.keras"):
        build_network(NetworkOptions(str(path), 3, 16, 16))
