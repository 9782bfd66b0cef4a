import subprocess
import sys

import keras
import numpy as np
import pytest

from orchard.errors import OrchardError
from orchard.registry import Registry
from trainer.models import build, registry
from trainer.models.build import BACKBONE_LAYER, NetworkOptions, build_network


@pytest.fixture
def architectures(monkeypatch):
    """A registry without members, for the test to fill."""
    registry.ARCHITECTURES.names()  # Their modules register in the real one, once a process.
    empty = Registry("architecture", package="trainer.models.architectures")
    for module in (registry, build):
        monkeypatch.setattr(module, "ARCHITECTURES", empty)
    return empty


def _feature_map(image_size_px):
    inputs = keras.Input((*image_size_px, 3))
    return keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))


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
