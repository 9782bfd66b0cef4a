"""Augmentation compiled for a TPU by libtpu itself: needs the extra [preflight]."""

import importlib.util

import pytest
import tensorflow as tf

from tests.trainer.augment.examples import EVERYTHING
from trainer.augment import AugmentOptions, augment_batch, mix_batch
from trainer.tpu import compiler, graph_check
from trainer.tpu.chips import parse_topology
from trainer.tpu.lowering import kernels
from trainer.xla import Array, trace

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("jax", "libtpu")),
    reason="the extra [preflight] (jax, jaxlib, libtpu) is not installed",
)


def _compiled(
    options: AugmentOptions, size_px: int, batch_size: int, cache_dir
) -> compiler.Compiled:
    """What libtpu says to everything that a step does to its images before the network."""

    def augmented(images, targets, weights, parameters):
        changed = augment_batch(images, parameters, options)
        return mix_batch(changed, targets, parameters, options, weights)

    inputs = [
        Array("image", (batch_size, size_px, size_px, 3), "uint8", 0),
        Array("target", (batch_size, 4), "float32", 0),
        Array("weight", (batch_size,), "float32", 0),
        Array("augment", (batch_size, len(options.columns)), "float32", 0),
    ]
    specs = [tf.TensorSpec(one.shape, one.dtype) for one in inputs]
    function = tf.function(augmented, autograph=False).get_concrete_function(*specs)
    assert not graph_check.problems(function, kernels())
    program = trace(augmented, inputs, output_axes=[0, 0], platform=kernels()).program
    # One chip: its images are the whole batch.
    return compiler.compile_program(program, parse_topology("v5e:1x1"), str(cache_dir))


@pytest.mark.parametrize(
    "size_px", [32, pytest.param(512, marks=pytest.mark.slow)], ids=["small", "as trained"]
)
def test_augment_batch_every_augmentation_together_compiles_for_a_tpu(tmp_path, size_px):
    found = _compiled(EVERYTHING, size_px, 8, tmp_path)
    assert found.fits, found.message
    # The images come as bytes and leave as float32.
    assert found.argument_bytes >= 8 * size_px**2 * 3
    assert found.output_bytes >= 8 * size_px**2 * 3 * 4
