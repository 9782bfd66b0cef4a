import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.xla import pure


def _training_step():
    """A step with all that a trainer's has: slots, moving averages, dropout's seeds."""
    network = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8), keras.layers.BatchNormalization()]
        + [keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    )
    optimizer = keras.optimizers.Adam(0.1, use_ema=True)
    optimizer.build(network.trainable_variables)

    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(network(x, training=True) ** 2)
        variables = [variable.value for variable in network.trainable_variables]
        optimizer.apply(tape.gradient(loss, variables), network.trainable_variables)
        return loss

    traced = tf.function(step, autograph=False).get_concrete_function(tf.TensorSpec((16, 4)))
    return traced, (network, optimizer)


def test_pure_of_a_training_step_returns_the_new_variables():
    step, _keep_alive = _training_step()  # A traced function lets go of its variables.
    x = tf.constant(np.random.default_rng(0).normal(size=(16, 4)), tf.float32)
    made = pure(step)
    before = [tf.identity(variable) for variable in made.variables]
    (loss,), after = tf.function(made.function, autograph=False)(x, *before)
    # It has no effect of its own...
    for variable, value in zip(made.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    # ...and the step itself does the same in place.
    np.testing.assert_allclose(step(x), loss, rtol=1e-6)
    new = dict(zip(made.written, after, strict=True))
    for i, variable in enumerate(made.variables):
        np.testing.assert_allclose(variable, new.get(i, before[i]), rtol=1e-6, atol=1e-7)
    assert any(np.any(v != b) for v, b in zip(made.variables, before, strict=True))


def test_pure_of_called_functions_puts_them_in_place():
    scale, count = tf.Variable(3.0), tf.Variable(0, dtype=tf.int64)

    @tf.function
    def inner(x):
        count.assign_add(2)
        return x * scale

    @tf.function
    def middle(x):
        return inner(x) + 1.0

    traced = tf.function(lambda x: middle(inner(x))).get_concrete_function(tf.TensorSpec((2,)))
    made = pure(traced)
    values = {id(scale): tf.constant(5.0), id(count): tf.constant(7, tf.int64)}
    given = [values[id(variable)] for variable in made.variables]
    (result,), new = tf.function(made.function)(tf.constant([1.0, 2.0]), *given)
    np.testing.assert_array_equal(result, [26.0, 51.0])
    assert [made.variables[i] is count for i in made.written] == [True]
    assert [int(value) for value in new] == [11]
    assert count.numpy() == 0 and scale.numpy() == 3.0


def test_pure_keeps_branches_that_touch_no_variable():
    bias = tf.Variable(1.0)

    def branch(x):
        return tf.cond(x[0] > 0, lambda: x * 2, lambda: x - 1) + bias

    made = pure(tf.function(branch).get_concrete_function(tf.TensorSpec((1,))))
    rewritten = tf.function(made.function)
    for x, expected in ((3.0, 10.0), (-3.0, 0.0)):
        (result,), _ = rewritten(tf.constant([x]), tf.constant(4.0))
        np.testing.assert_array_equal(result, [expected])


def test_pure_of_a_variable_in_a_loop_is_refused_by_name():
    total = tf.Variable(0.0)

    def loop(x):
        for _ in tf.range(3):
            total.assign_add(x)
        return total.read_value()

    made = pure(tf.function(loop).get_concrete_function(tf.TensorSpec(())))
    with pytest.raises(NotImplementedError, match="While.* on a variable"):
        tf.function(made.function)(tf.constant(1.0), tf.constant(0.0))


def test_pure_of_a_captured_tensor_has_it_as_a_constant():
    scale, shift = tf.Variable(3.0), tf.constant([1.0, 2.0])
    made = pure(tf.function(lambda x: x * scale + shift).get_concrete_function(tf.TensorSpec((2,))))
    assert [one is scale for one in made.variables] == [True] and made.written == ()
    (result,), _ = tf.function(made.function)(tf.constant([1.0, 1.0]), tf.constant(5.0))
    np.testing.assert_array_equal(result, [6.0, 7.0])
