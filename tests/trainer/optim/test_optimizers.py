import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer import runs
from trainer.models.build import NetworkOptions, build_network
from trainer.optim import optimizers


@pytest.fixture
def network(tiny_backbone):
    keras.utils.set_random_seed(0)
    return build_network(NetworkOptions(tiny_backbone, 3, 16, 16))


def _config(tiny_backbone, **changes):
    return runs.config("data", tiny_backbone, "run", **changes)


def _one_step(optimizer, network, rate=0.1):
    before = [v.numpy() for v in network.trainable_variables]
    optimizer.learning_rate.assign(rate)
    gradients = [tf.ones(v.shape) for v in network.trainable_variables]
    optimizer.apply(gradients, network.trainable_variables)
    return [v.numpy() - b for v, b in zip(network.trainable_variables, before, strict=True)]


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "lamb", "lion", "rmsprop"])
def test_make_optimizer_any_name_moves_every_variable_against_its_gradient(
    network, tiny_backbone, name
):
    config = _config(tiny_backbone, optimizer=name)
    optimizer = optimizers.make_optimizer(config, network, network.trainable_variables)
    for change, variable in zip(
        _one_step(optimizer, network), network.trainable_variables, strict=True
    ):
        # LAMB's trust ratio is 0 where the weights are.
        assert np.all(change < 0) or (name == "lamb" and not np.any(variable)), variable.path


def test_make_optimizer_adamw_equals_keras_on_kernels(network, tiny_backbone):
    kernels = [v for v in network.trainable_variables if len(v.shape) > 1]
    start = [v.numpy() for v in kernels]
    config = _config(tiny_backbone, weight_decay=0.3)
    _one_step(optimizers.make_optimizer(config, network, network.trainable_variables), network)
    ours = [v.numpy() for v in kernels]
    for kernel, value in zip(kernels, start, strict=True):
        kernel.assign(value)
    theirs = keras.optimizers.AdamW(0.1, weight_decay=0.3)
    theirs.apply([tf.ones(v.shape) for v in kernels], kernels)
    for kernel, value in zip(kernels, ours, strict=True):
        np.testing.assert_allclose(value, kernel.numpy(), rtol=1e-5, atol=1e-7)


def test_make_optimizer_weight_decay_spares_biases_and_norms(network, tiny_backbone):
    for decay, moved in ((0.0, False), (0.5, True)):
        config = _config(tiny_backbone, optimizer="sgd", momentum=0.0, weight_decay=decay)
        optimizer = optimizers.make_optimizer(config, network, network.trainable_variables)
        start = [v.numpy() for v in network.trainable_variables]
        changes = _one_step(optimizer, network)
        for variable, before, change in zip(
            network.trainable_variables, start, changes, strict=True
        ):
            decays = moved and len(variable.shape) > 1
            expected = -0.1 - 0.1 * decay * before * decays
            np.testing.assert_allclose(change, expected, rtol=1e-4, atol=1e-6)


def test_make_optimizer_layer_decay_slows_deeper_layers(network, tiny_backbone):
    config = _config(tiny_backbone, optimizer="sgd", momentum=0.0, layer_decay=0.5)
    optimizer = optimizers.make_optimizer(config, network, network.trainable_variables)
    sizes = [-float(np.mean(change)) for change in _one_step(optimizer, network)]
    # Two convolutions with a norm each in twelve groups of depth: 0, 3, 6, 9; then the head.
    expected = [0.5**12, *[0.5**9] * 2, 0.5**6, *[0.5**3] * 2, 1.0, 1.0]
    np.testing.assert_allclose(sizes, 0.1 * np.array(expected), rtol=1e-2)


def test_clip_by_global_norm_bounds_the_norm():
    gradients = [tf.fill([3], 3.0), tf.fill([4], 4.0)]
    clipped = optimizers.clip_by_global_norm(gradients, 1.0)
    norm = np.sqrt(sum(np.sum(g.numpy() ** 2) for g in clipped))
    assert norm == pytest.approx(1.0)
    assert optimizers.clip_by_global_norm(gradients, 0.0) is gradients


def test_make_optimizer_frozen_variable_is_unknown_to_it(network, tiny_backbone):
    head = network.trainable_variables[-2:]
    config = dataclasses.replace(_config(tiny_backbone), optimizer="sgd", momentum=0.0)
    optimizer = optimizers.make_optimizer(config, network, head)
    optimizer.learning_rate.assign(0.1)
    optimizer.apply([tf.ones(v.shape) for v in head], head)
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply(
            [tf.ones(network.trainable_variables[0].shape)], network.trainable_variables[:1]
        )


@keras.saving.register_keras_serializable("test_optimizers")
class Block(keras.layers.Layer):
    """Attention, whose biases are matrices, and a dense layer."""

    def build(self, input_shape):
        self.attention = keras.layers.MultiHeadAttention(2, 4)
        self.attention.build(input_shape, input_shape)
        self.dense = keras.layers.Dense(8)
        self.dense.build(input_shape)
        self.scale = self.add_weight(shape=(8,), name="scale")

    def call(self, x):
        return self.dense(self.attention(x, x)) * self.scale


class Encoder(keras.layers.Layer):
    def __init__(self, num_blocks):
        super().__init__()
        self.positions = keras.layers.Embedding(4, 8, name="position_embedding")
        self.blocks = [Block() for _ in range(num_blocks)]
        self.norm = keras.layers.LayerNormalization()

    def call(self, x):
        x = x + self.positions(tf.range(4))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def _transformer(num_blocks):
    images = keras.Input((4, 4, 3))
    patches = keras.layers.Conv2D(8, 2, strides=2, name="patches")(images)
    tokens = Encoder(num_blocks)(keras.layers.Reshape((4, 8))(patches))
    features = keras.layers.GlobalAveragePooling1D()(tokens)
    backbone = keras.Model(images, features, name="backbone")
    outputs = keras.layers.Dense(3, name="logits")(backbone(images))
    return keras.Model(images, outputs), backbone


@pytest.mark.parametrize("num_blocks", [4, 12])
def test_layer_multipliers_of_a_transformer_follow_its_blocks(num_blocks):
    network, backbone = _transformer(num_blocks)
    found = optimizers.layer_multipliers(network, 0.5)
    encoder = backbone.layers[-2]
    for i, block in enumerate(encoder.blocks):
        depth = 12 * i // num_blocks
        assert {found[id(v)] for v in block.trainable_variables} == {0.5 ** (12 - depth)}
    first = [*backbone.get_layer("patches").variables, *encoder.positions.variables]
    assert {found[id(v)] for v in first} == {0.5**12}
    last = {found[id(v)] for v in encoder.blocks[-1].trainable_variables}
    assert {found[id(v)] for v in encoder.norm.trainable_variables} == last
    assert found.keys() == {id(v) for v in backbone.trainable_variables}


def test_decayed_are_a_transformers_kernels_but_no_positions_nor_attention_biases():
    network, _ = _transformer(2)
    decayed = optimizers._decayed(network)
    for variable in network.trainable_variables:
        assert (id(variable) in decayed) == (variable.name == "kernel"), variable.path
