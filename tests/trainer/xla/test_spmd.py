"""One traced step on many devices against TensorFlow's own on one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.xla import Array, Program, Spmd, data_mesh, trace

BATCH = 16


@pytest.fixture(scope="module")
def step():
    """A step with BatchNorm, Adam's slots and a moving average."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
        + [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )
    optimizer = keras.optimizers.Adam(0.0, use_ema=True)
    optimizer.build(network.trainable_variables)

    def function(images, targets, rate):
        optimizer.learning_rate.assign(rate)
        with tf.GradientTape() as tape:
            logits = network(tf.cast(images, tf.float32) / 255.0, training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        values = [v.value for v in network.trainable_variables]
        optimizer.apply(tape.gradient(loss, values), network.trainable_variables)
        return loss

    return function


@pytest.fixture(scope="module")
def traced(step):
    inputs = [
        Array("images", (BATCH, 8, 8, 3), "uint8", split_axis=0),
        Array("targets", (BATCH, 3), "float32", split_axis=0),
        Array("rate", (), "float32"),
    ]
    return trace(step, inputs)


def _batches(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        images = rng.integers(0, 256, (BATCH, 8, 8, 3), dtype=np.uint8)
        yield images, np.eye(3, dtype=np.float32)[rng.integers(0, 3, BATCH)], np.float32(0.01)


def test_program_bytes_there_and_back_are_equal(traced):
    program = traced.program
    assert Program.from_bytes(program.to_bytes()) == program
    assert {one.dtype for one in program.variables} >= {"float32", "int64"}


def test_spmd_of_a_step_on_eight_devices_has_tensorflows_losses(step, traced, devices):
    program = traced.program
    spmd = Spmd(program, data_mesh(devices))
    values = [variable.numpy() for variable in traced.variables]
    new, kept = [values[i] for i in program.written], [values[i] for i in spmd.kept]
    losses = []
    for batch in _batches(6):
        (loss,), new = spmd.jitted(new, kept, list(batch))
        losses.append(float(loss))
    reference = tf.function(step)
    expected = [float(reference(*map(tf.constant, batch))) for batch in _batches(6)]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    # The step that TensorFlow took has changed the variables; those of the program agree.
    for i, value in zip(program.written, new, strict=True):
        assert len(value.sharding.device_set) == 8 and value.is_fully_replicated
        np.testing.assert_allclose(value, traced.variables[i], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_spmd_lowers_for_platforms_that_are_not_there(traced, devices, platform):
    text = Spmd(traced.program, data_mesh(devices)).lower(platform).as_text()
    assert "mhlo.num_partitions = 8" in text and "stablehlo.convolution" in text


def test_trace_leaves_variables_that_are_only_read_unwritten():
    scale, count = tf.Variable(2.0, name="scale"), tf.Variable(0.0, name="count")

    def function(x):
        count.assign_add(1.0)
        return x * scale

    program = trace(function, [Array("x", (4, 2), "float32", 0)], output_axes=[0]).program
    assert [program.variables[i].name for i in program.written] == ["count:0"]
    assert program.outputs[0].split_axis == 0 and program.outputs[0].shape == (4, 2)
