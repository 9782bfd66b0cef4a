import subprocess
import sys

import keras
import numpy as np
import pytest

from orchard.errors import OrchardError
from orchard.registry import Registry
from trainer.models import ModelOptions, Scaling, registry
from trainer.models.build import BACKBONE_LAYER, NetworkOptions, build_network


@pytest.fixture
def architectures(monkeypatch):
    """A registry without members, for the test to fill."""
    registry.ARCHITECTURES.names()  # Their modules register in the real one, once a process.
    empty = Registry("architecture", package="trainer.models.architectures")
    monkeypatch.setattr(registry, "ARCHITECTURES", empty)
    return empty


def _feature_map(image_size_px):
    inputs = keras.Input((*image_size_px, 3))
    return keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))


@pytest.fixture
def sources(monkeypatch):
    """A registry of sources without members, for the test to fill."""
    registry.ARCHITECTURE_SOURCES.names()
    empty = Registry("architecture source", package="trainer.models.sources")
    monkeypatch.setattr(registry, "ARCHITECTURE_SOURCES", empty)
    return empty


def test_registered_source_finds_what_follows_its_prefix(sources):
    asked = []

    @registry.register_architecture_source("garden")
    def find(name):
        asked.append(name)
        return registry.Architecture(_feature_map, 8, Scaling((1.0, 2.0, 3.0), -1.0))

    options = ModelOptions(architecture="garden:hf://leaf/net.keras", weights="none")
    assert asked == []  # A config of it can be made, and read again, where there is no network.
    assert options.height_px == 8
    network = build_network(NetworkOptions(options.architecture, 5, 8, 8))
    assert set(asked) == {"hf://leaf/net.keras"}
    images = np.ones((1, 8, 8, 3), np.float32)
    scaled = network.get_layer("preprocessing")(images)
    np.testing.assert_allclose(scaled[0, 0, 0], [0.0, 1.0, 2.0])
    with pytest.raises(OrchardError, match="--weights=none"):
        build_network(NetworkOptions(options.architecture, 5, 8, 8, weights="imagenet"))


def test_source_that_does_not_know_the_scaling_asks_for_it(sources):
    unknown = registry.Architecture(_feature_map, None, preprocessing=None)
    registry.register_architecture_source("garden")(lambda name: unknown)
    with pytest.raises(OrchardError, match="--preprocessing="):
        build_network(NetworkOptions("garden:net", 5, 8, 8))
    build_network(NetworkOptions("garden:net", 5, 8, 8, preprocessing="127/128"))
    with pytest.raises(OrchardError, match="needs --image_size"):
        ModelOptions(architecture="garden:net").height_px  # noqa: B018


@pytest.mark.parametrize("name, error", [("garden:", "names nothing"), ("field:net", "unknown")])
def test_source_without_a_name_or_unknown_is_refused(sources, name, error):
    registry.register_architecture_source("garden")(lambda name: None)
    with pytest.raises(OrchardError, match=error):
        ModelOptions(architecture=name)


def test_registered_function_makes_the_backbone_at_the_asked_size(architectures):
    registry.register_architecture("plain", image_size_px=8, preprocessing="127/128")(_feature_map)
    assert registry.default_image_size_px("plain") == 8
    network = build_network(NetworkOptions("plain", 5, 8, 12))
    assert network.input_shape == (None, 8, 12, 3) and network.output_shape == (None, 5)
    # Its feature map is averaged, its pixels are scaled as it was registered.
    assert network.get_layer(BACKBONE_LAYER).output_shape == (None, 4)
    assert network.get_layer("preprocessing").scale == pytest.approx(1 / 128)


def test_registered_imagenet_function_is_called_for_its_weights(architectures):
    def pretrained(image_size_px):
        model = _feature_map(image_size_px)
        model.set_weights([np.full(w.shape, 7.0) for w in model.get_weights()])
        return model

    register = registry.register_architecture("plain", image_size_px=8, build_imagenet=pretrained)
    register(_feature_map)
    network = build_network(NetworkOptions("plain", 5, 8, 8, weights="imagenet"))
    assert (network.get_layer(BACKBONE_LAYER).get_weights()[0] == 7).all()


def test_imagenet_weights_where_none_are_registered_are_refused(architectures):
    registry.register_architecture("plain", image_size_px=8)(_feature_map)
    with pytest.raises(OrchardError, match="plain comes without ImageNet weights; use --weights="):
        registry.check_architecture("plain", "imagenet")
    registry.check_architecture("plain", "none")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda size: "a network", "one input and one output"),
        (lambda size: _feature_map((9, 9)), r"takes images of \(9, 9, 3\)"),
        (lambda size: keras.Sequential([keras.Input((*size, 3)), keras.layers.Reshape((-1, 3))]),
         r"expected features \[batch, n\]"),
    ],
)  # fmt: skip
def test_registered_function_that_makes_no_backbone_is_refused(architectures, make, message):
    registry.register_architecture("plain", image_size_px=8)(make)
    with pytest.raises(OrchardError, match=f"the architecture 'plain'.*{message}"):
        build_network(NetworkOptions("plain", 5, 8, 8))


def test_images_below_the_smallest_size_are_refused():
    with pytest.raises(OrchardError, match="75 px and up"):
        build_network(NetworkOptions("inception_v3", 5, 64, 64))


def test_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(OrchardError, match="mobilenet_v9 is unknown; use one of .*resnet50.*"):
        registry.check_architecture("mobilenet_v9", "none")


def test_registering_and_looking_up_import_no_tensorflow():
    code = (
        "import sys; from trainer.models import ARCHITECTURES; assert 'vgg16' in ARCHITECTURES; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
