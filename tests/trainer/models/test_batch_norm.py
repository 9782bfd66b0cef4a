import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.models import batch_norm


@pytest.fixture
def network():
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.BatchNormalization(name="first")(inputs)
    inner = keras.Sequential([keras.layers.BatchNormalization(momentum=0.9, name="nested")])
    return keras.Model(inputs, inner(x))


def _batches(count=5, size=8):
    rng = np.random.default_rng(0)
    return [
        rng.normal(loc=k, scale=1 + k, size=(size, 4, 4, 2)).astype(np.float32)
        for k in range(count)
    ]


def test_layers_of_finds_nested_layers(network):
    assert {layer.name for layer in batch_norm.layers_of(network)} == {"first", "nested"}


def test_estimate_gives_the_moments_of_all_batches_together(network):
    layers = batch_norm.layers_of(network)

    @tf.function
    def forward(images):
        network(images, training=True)
        return batch_norm.moments(layers)

    with batch_norm.moments_of_batch(layers):
        batch_norm.estimate(layers, [forward(images) for images in _batches()])
    first = next(layer for layer in layers if layer.name == "first")
    everything = np.concatenate(_batches())
    np.testing.assert_allclose(first.moving_mean, everything.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(first.moving_variance, everything.var(axis=(0, 1, 2)), rtol=1e-5)


def test_moments_of_batch_puts_the_momenta_back(network):
    with batch_norm.moments_of_batch(batch_norm.layers_of(network)):
        assert {layer.momentum for layer in batch_norm.layers_of(network)} == {0.0}
    assert {layer.momentum for layer in batch_norm.layers_of(network)} == {0.99, 0.9}


def test_averages_settle_counts_fifty_time_constants_of_the_slowest(network):
    assert not batch_norm.averages_settle(network, 4_900)
    assert batch_norm.averages_settle(network, 5_100)
    batch_norm.freeze(network)
    assert batch_norm.averages_settle(network, 1)


def test_freeze_makes_layers_ignore_the_batch(network):
    batch_norm.freeze(network)
    images = _batches(1)[0]
    trained = network(images, training=True)
    np.testing.assert_array_equal(trained, network(images, training=False))
