import keras
import numpy as np
import tensorflow as tf

from trainer.tpu import pure_step


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
    rewritten, variables = pure_step.pure(step)
    before = [tf.identity(variable) for variable in variables]
    loss, after = tf.function(rewritten, autograph=False)(x, *before)
    # It has no effect of its own...
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    # ...and the step itself does the same in place.
    np.testing.assert_allclose(step(x), loss, rtol=1e-6)
    for variable, value in zip(variables, after, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-6, atol=1e-7)
    assert any(np.any(v != b) for v, b in zip(variables, before, strict=True))
