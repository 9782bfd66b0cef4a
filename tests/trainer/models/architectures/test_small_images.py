import keras
import numpy as np
import pytest

from orchard.errors import OrchardError
from trainer.models import ARCHITECTURES, NetworkOptions, build_network, forward_flops

_NAMES = ("resnet20", "resnet9", "vgg_small", "wide_resnet10_2")


def test_resnet20_has_the_weights_layers_and_multiply_adds_of_its_paper():
    network = build_network(NetworkOptions("resnet20", 10, 32, 32))
    trained = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert trained == pytest.approx(0.27e6, rel=0.01)
    kinds = [type(layer).__name__ for layer in network._flatten_layers()]
    assert kinds.count("Conv2D") + kinds.count("Dense") == 20
    assert forward_flops(network) == pytest.approx(2 * 40.8e6, rel=0.01)


def test_resnet20_shortcut_halves_the_size_and_pads_channels_with_zeros():
    network = build_network(NetworkOptions("resnet20", 10, 32, 32)).get_layer("backbone")
    pads = [op for op in network.operations if type(op).__name__ == "Pad"]
    assert [op.output.shape[1:] for op in pads] == [(16, 16, 32), (8, 8, 64)]
    shortcut = keras.Model(
        network.inputs, [pads[0]._inbound_nodes[0].input_tensors[0], pads[0].output]
    )
    kept, padded = shortcut(np.random.default_rng(0).normal(size=(1, 32, 32, 3)))
    np.testing.assert_array_equal(padded[..., 8:-8], kept)
    assert not np.any(padded[..., :8]) and not np.any(padded[..., -8:])


@pytest.mark.parametrize("name", _NAMES)
def test_small_network_takes_small_odd_images_and_is_saved_without_our_code(name, tmp_path):
    side = ARCHITECTURES[name].min_size_px
    network = build_network(NetworkOptions(name, 5, side, side + 1))
    images = np.zeros((2, side, side + 1, 3), np.uint8)
    network.save(str(tmp_path / "network.keras"))
    again = keras.models.load_model(str(tmp_path / "network.keras"))
    np.testing.assert_array_equal(network(images), again(images))
    assert "trainer" not in network.to_json()


def test_small_networks_have_no_imagenet_weights():
    for name in _NAMES:
        with pytest.raises(OrchardError, match="use --weights=none"):
            build_network(NetworkOptions(name, 5, 32, 32, weights="imagenet"))


def test_wide_resnet10_2_has_the_convolutions_of_its_depth():
    network = build_network(NetworkOptions("wide_resnet10_2", 10, 32, 32))
    kernels = [v.shape for v in network.trainable_variables if len(v.shape) == 4]
    assert len(kernels) == 10 and sum(shape[:2] == (1, 1) for shape in kernels) == 3
    assert max(shape[-1] for shape in kernels) == 2 * 64
