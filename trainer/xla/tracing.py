"""From a TensorFlow function of a batch and variables to a `Program`. TensorFlow alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from trainer.xla.program import Array, Program
from trainer.xla.pure_function import Pure, pure


@dataclass(frozen=True)
class Traced:
    """A program and whose values its variables are.

    Attributes:
        program: what was traced.
        variables: in the order of `program.variables`.
    """

    program: Program
    variables: list[tf.Variable]


def trace(
    function: Callable[..., tf.Tensor | Sequence[tf.Tensor]],
    inputs: Sequence[Array],
    output_axes: Sequence[int | None] | None = None,
    platform: str = "CPU",
) -> Traced:
    """Trace `function` once, for whole batches, and lower it.

    Args:
        function: of one tensor an input; reads and writes variables, outside of loops and branches.
        inputs: of static shape.
        output_axes: of each output, the axis that is divided over the devices; default: none.
        platform: whose kernels TensorFlow lowers with.
    """
    specs = [_spec(one) for one in inputs]
    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    return lower(pure(traced), inputs, traced.outputs, output_axes, platform)


def lower(
    rewritten: Pure,
    inputs: Sequence[Array],
    outputs: Sequence[tf.Tensor],
    output_axes: Sequence[int | None] | None,
    platform: str,
) -> Traced:
    """Lower a function without variables; see `trace`."""
    variables = [_array(v.name, v) for v in rewritten.variables]
    axes = [None] * len(outputs) if output_axes is None else output_axes
    compiled = tf.function(rewritten.function, jit_compile=True, autograph=False)
    specs = [_spec(one) for one in (*inputs, *variables)]
    ir = compiled.experimental_get_compiler_ir(*specs)
    program = Program(
        stablehlo=ir(stage="stablehlo_serialized", platform_name=platform),
        inputs=tuple(inputs),
        variables=tuple(variables),
        outputs=tuple(
            _array(f"output{i}", tensor, axis)
            for i, (tensor, axis) in enumerate(zip(outputs, axes, strict=True))
        ),
        written=rewritten.written,
    )
    return Traced(program, rewritten.variables)


def _array(name: str, value: tf.Tensor | tf.Variable, split_axis: int | None = None) -> Array:
    return Array(name, tuple(value.shape), value.dtype.name, split_axis)


def _spec(array: Array) -> tf.TensorSpec:
    return tf.TensorSpec(array.shape, tf.as_dtype(array.dtype))
