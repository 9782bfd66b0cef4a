import keras
import numpy as np
import tensorflow as tf

from trainer.tpu import graph_check, lowering


def _problems(function, *specs):
    compiled = tf.function(function, autograph=False)
    return graph_check.problems(compiled.get_concrete_function(*specs), lowering.kernels())


def test_problems_of_static_shapes_are_none():
    def step(x):
        return tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.tanh(y) @ y), [0, x])

    assert _problems(step, tf.TensorSpec((8, 8))) == []


def test_problems_of_a_shape_that_depends_on_data_name_its_origin():
    def step(x):
        with tf.name_scope("backbone/odd_layer"):
            rows = tf.where(x > 0)
        return tf.gather_nd(x, rows)

    (problem,) = _problems(step, tf.TensorSpec((8,)))
    assert problem.startswith("Where gives a shape that depends on the data: in backbone/odd_layer")
    assert "tests/trainer/tpu/test_graph_check.py:" in problem


def test_problems_of_a_host_callback_in_a_loop_name_it():
    def body(i, y):
        return i + 1, tf.ensure_shape(tf.numpy_function(np.tanh, [y], tf.float32), [4])

    def step(x):
        return tf.while_loop(lambda i, _: i < 3, body, [0, x])

    problems = _problems(step, tf.TensorSpec((4,)))
    assert any(p.startswith("PyFunc calls back to the host") for p in problems)


def test_problems_of_an_op_without_an_xla_kernel_name_it():
    def step(jpeg):
        return tf.io.decode_jpeg(jpeg, channels=3)

    problems = _problems(step, tf.TensorSpec((), tf.string))
    assert any(p.startswith("DecodeJpeg cannot be compiled by XLA") for p in problems)


def test_problems_of_the_gradient_of_attention_are_none():
    attention = keras.layers.MultiHeadAttention(2, 4)
    attention.build((8, 5, 8), (8, 5, 8))

    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(attention(x, x))
        return tape.gradient(loss, attention.trainable_variables)

    graph = tf.function(step, autograph=False).get_concrete_function(tf.TensorSpec((8, 5, 8))).graph
    assert "BroadcastGradientArgs" in {operation.type for operation in graph.get_operations()}
    assert _problems(step, tf.TensorSpec((8, 5, 8))) == []
