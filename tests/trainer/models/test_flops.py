import keras
import pytest
import tensorflow as tf

from trainer.models.build import NetworkOptions, build_network
from trainer.models.flops import forward_flops, graph_flops

layers = keras.layers


def _chain(shape, *parts):
    x = inputs = keras.Input(shape)
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    "shape, layer, multiply_adds",
    [
        ((32, 32, 4), layers.Conv2D(8, 3, padding="same"), 32 * 32 * 8 * 3 * 3 * 4),
        ((32, 32, 4), layers.Conv2D(8, 3, strides=2), 15 * 15 * 8 * 3 * 3 * 4),
        ((32, 32, 4), layers.Conv2D(8, 3, padding="same", groups=2), 32 * 32 * 8 * 3 * 3 * 2),
        ((32, 32, 4), layers.DepthwiseConv2D(3, padding="same"), 32 * 32 * 4 * 3 * 3),
        ((8, 8, 4), layers.SeparableConv2D(6, 3, padding="same"), 8 * 8 * (4 * 9 + 4 * 6)),
        ((100,), layers.Dense(10), 100 * 10),
        ((7, 100), layers.Dense(10), 7 * 100 * 10),
        ((7, 100), layers.EinsumDense("abc,cd->abd", (None, 10)), 7 * 100 * 10),
        ((8, 8, 4), layers.GlobalAveragePooling2D(), 0),
    ],
)
def test_forward_flops_of_a_layer_are_twice_its_multiply_adds(shape, layer, multiply_adds):
    assert forward_flops(_chain(shape, layer)) == 2 * multiply_adds


def test_forward_flops_of_attention_count_projections_scores_and_means():
    tokens, width, heads, per_head = 50, 8, 2, 4
    inputs = keras.Input((tokens, width))
    attended = layers.MultiHeadAttention(heads, per_head)(inputs, inputs)
    projections = 4 * tokens * width * heads * per_head
    pairs = 2 * heads * tokens * tokens * per_head
    assert forward_flops(keras.Model(inputs, attended)) == 2 * (projections + pairs)


@pytest.mark.parametrize("name, giga_multiply_adds", [("mobilenet", 0.569), ("resnet50", 3.86)])
def test_forward_flops_of_a_network_are_those_of_its_paper(name, giga_multiply_adds):
    network = build_network(NetworkOptions(name, 1000, 224, 224))
    assert forward_flops(network) == pytest.approx(2e9 * giga_multiply_adds, rel=0.01)


@pytest.mark.parametrize("layer", [layers.Conv2DTranspose(3, 3), layers.Conv3D(2, 1)])
def test_forward_flops_with_a_layer_that_is_not_counted_are_unknown(layer):
    shape = (8, 8, 4) if isinstance(layer, layers.Conv2DTranspose) else (4, 8, 8, 3)
    assert forward_flops(_chain(shape, layer)) is None


def test_graph_flops_of_a_loop_and_of_an_unknown_size_are_unknown():
    @tf.function
    def looping(x):
        for _ in tf.range(tf.cast(x[0, 0], tf.int32)):
            x = x @ x
        return x

    def graph(function, shape):
        traced = function.get_concrete_function(tf.TensorSpec(shape, tf.float32))
        return traced.graph.as_graph_def(add_shapes=True)

    product = tf.function(lambda x: tf.matmul(x, x, transpose_a=True))
    assert graph_flops(graph(looping, [4, 4])) is None
    assert graph_flops(graph(product, [5, 4])) == 2 * 4 * 4 * 5
    assert graph_flops(graph(product, [None, None])) is None


def test_graph_flops_of_an_einsum_count_the_axes_that_are_summed_over():
    @tf.function
    def summed(x):
        return tf.einsum("...ij,jk->...ik", x, tf.ones([5, 6])), tf.einsum("abij->ab", x)

    traced = summed.get_concrete_function(tf.TensorSpec([2, 3, 4, 5], tf.float32))
    graph = traced.graph.as_graph_def(add_shapes=True)
    assert graph_flops(graph) == 2 * (2 * 3 * 4 * 6) * 5
