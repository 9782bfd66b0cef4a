import re

import keras
import numpy as np
import pytest

from orchard.errors import OrchardError
from tests import fuzz
from trainer.models import pretrained
from trainer.models.build import BACKBONE_LAYER, NetworkOptions, build_network


def _pixels(size=16):
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype(np.float32)


def test_keras_file_gives_its_features_without_its_head(tiny_backbone):
    network = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="imagenet"))
    original = keras.models.load_model(tiny_backbone)
    features = keras.Model(original.inputs, original.layers[-2].output)
    ours = network.get_layer(BACKBONE_LAYER)(_pixels())
    np.testing.assert_allclose(ours, features(_pixels()), rtol=1e-6)
    assert network.output_shape == (None, 3)


def test_keras_file_with_weights_none_is_drawn_anew(tiny_backbone):
    kept = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="imagenet"))
    fresh = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="none"))
    kernels = [n.get_layer(BACKBONE_LAYER).trainable_variables[0].numpy() for n in (kept, fresh)]
    assert not np.allclose(*kernels)


def test_keras_file_without_scaling_layer_needs_preprocessing(tmp_path):
    inputs = keras.Input((16, 16, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)).save(tmp_path / "raw.keras")
    path = str(tmp_path / "raw.keras")
    with pytest.raises(OrchardError, match="--preprocessing=zero_to_one"):
        build_network(NetworkOptions(path, 3, 16, 16))
    network = build_network(NetworkOptions(path, 3, 16, 16, preprocessing="127/128"))
    assert network.get_layer(BACKBONE_LAYER).output_shape == (None, 4)
    with pytest.raises(OrchardError, match="takes images of"):
        build_network(NetworkOptions(path, 3, 32, 32, preprocessing="inside"))


def test_trained_network_saved_is_a_backbone_again(tmp_path, tiny_backbone):
    trained = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="imagenet"))
    path = str(tmp_path / "model.keras")
    trained.save(path)
    again = build_network(NetworkOptions(path, 7, 16, 16, weights="imagenet"))
    expected = trained.get_layer(BACKBONE_LAYER)(_pixels())
    np.testing.assert_allclose(again.get_layer(BACKBONE_LAYER)(_pixels()), expected, rtol=1e-6)


def test_weights_file_of_another_backbone_is_refused(tmp_path, tiny_backbone):
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
def test_weights_file_that_is_missing_is_refused(tiny_backbone, name):
    with pytest.raises(
        OrchardError, match=f"--weights={name} does not exist; give imagenet, none, a run"
    ):
        build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights=name))


def test_keras_file_with_code_in_it_is_refused_in_one_line_and_not_run(tmp_path):
    keras = pretrained.keras
    inputs = keras.Input((8, 8, 3))
    ran = f"__import__('os').mkdir({str(tmp_path / 'ran')!r}) or x"
    hostile = keras.layers.Lambda(eval(f"lambda x: {ran}"), output_shape=(8, 8, 3))
    keras.Model(inputs, hostile(inputs)).save(tmp_path / "hostile.keras")
    with pytest.raises(OrchardError, match="hostile.keras: not a Keras 3 model file") as caught:
        build_network(NetworkOptions(str(tmp_path / "hostile.keras"), 3, 8, 8))
    assert "\n" not in str(caught.value) and not (tmp_path / "ran").exists()


def test_keras_file_that_is_remote_gives_the_same_backbone(tiny_backbone):
    local = build_network(NetworkOptions(tiny_backbone, 3, 16, 16, weights="imagenet"))
    options = NetworkOptions(f"file://{tiny_backbone}", 3, 16, 16, weights="imagenet")
    remote = build_network(options).get_layer(BACKBONE_LAYER)
    local = local.get_layer(BACKBONE_LAYER)
    np.testing.assert_array_equal(remote(_pixels()), local(_pixels()))


@pytest.mark.parametrize("content", [None, b"not a zip"])
def test_keras_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "x.keras"
    if content:
        path.write_bytes(content)
    with pytest.raises(OrchardError, match="x.keras"):
        build_network(NetworkOptions(str(path), 3, 16, 16))


@pytest.fixture(scope="module")
def small_model():
    keras = pretrained.keras
    images = keras.Input((8, 8, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(images))
    return keras.Model(images, keras.layers.Dense(2)(features))


def test_load_model_of_damaged_files_gives_a_network_or_one_line(small_model, tmp_path):
    path = tmp_path / "x.keras"
    small_model.save(path)

    def load(data):
        path.write_bytes(data)
        assert isinstance(pretrained.load_model(str(path)), pretrained.keras.Model)

    target = fuzz.Target([path.read_bytes()], load)
    assert fuzz.run("keras", target, seed=1, first=0, cases=60) == []


def test_model_of_json_of_other_values_gives_a_network_or_one_line(small_model):
    def load(data):
        model = pretrained.model_of_json(data.decode(errors="replace"), "network.json")
        assert isinstance(model, pretrained.keras.Model)

    target = fuzz.Target([small_model.to_json().encode()], load, change=fuzz.changed_json)
    assert fuzz.run("json", target, seed=1, first=0, cases=60) == []


def test_model_of_json_of_a_class_that_nobody_has_says_what_to_install(small_model):
    text = small_model.to_json()
    text = re.sub(
        '"module": "[^"]*", "class_name": "Conv2D"',
        '"module": "leaf", "class_name": "LeafLayer"',
        text,
    )
    with pytest.raises(OrchardError, match="network.json: a layer .*LeafLayer.*--plugins"):
        pretrained.model_of_json(text, "network.json")
