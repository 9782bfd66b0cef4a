"""Augmentation compiled for a TPU by libtpu itself: needs the extra [preflight]."""

import importlib.util

import pytest
import tensorflow as tf

from tests.trainer.augment.examples import EVERYTHING
from trainer.augment import AugmentOptions, augment_batch, mix_batch
from trainer.tpu import compiler, graph_check
from trainer.tpu.chips import parse_topology
from trainer.tpu.lowering import kernels

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

    specs = [
        tf.TensorSpec((batch_size, size_px, size_px, 3), tf.uint8),
        tf.TensorSpec((batch_size, 4), tf.float32),
        tf.TensorSpec((batch_size,), tf.float32),
        tf.TensorSpec((batch_size, len(options.columns)), tf.float32),
    ]
    function = tf.function(augmented, jit_compile=True, autograph=False)
    assert not graph_check.problems(function.get_concrete_function(*specs), kernels())
    ir = function.experimental_get_compiler_ir(*specs)
    program = ir(stage="stablehlo_serialized", platform_name=kernels())
    return compiler.compile_program(program, parse_topology("v5e:2x2"), str(cache_dir))


@pytest.mark.parametrize(
    "size_px", [32, pytest.param(512, marks=pytest.mark.slow)], ids=["small", "as trained"]
)
def test_augment_batch_every_augmentation_together_compiles_for_a_tpu(tmp_path, size_px):
    found = _compiled(EVERYTHING, size_px, 8, tmp_path)
    assert found.fits, found.message
    assert not found.problems
    # The images come as bytes and leave as float32.
    assert found.argument_bytes >= 8 * size_px**2 * 3
    assert found.output_bytes >= 8 * size_px**2 * 3 * 4
