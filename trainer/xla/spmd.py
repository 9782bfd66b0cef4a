"""A `Program` as one jitted jax function over a mesh of devices. jax alone, no TensorFlow."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import export
from jax.extend import mlir
from jax.extend.mlir.dialects import stablehlo
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.xla.program import Array, Program

_AXIS = "data"


def enable_all_dtypes() -> None:
    """Let jax keep the 64-bit integers of TensorFlow's programs; call it before anything is run."""
    jax.config.update("jax_enable_x64", True)


def data_mesh(devices: Sequence[Any]) -> Mesh:
    """A mesh over which batches are split."""
    return Mesh(np.asarray(devices), (_AXIS,))


def sharding_of(array: Array, mesh: Mesh) -> NamedSharding:
    """How an array lies on the devices of a mesh."""
    axes: list[str | None] = [None] * len(array.shape)
    if array.split_axis is not None:
        axes[array.split_axis] = _AXIS
    return NamedSharding(mesh, PartitionSpec(*axes))


class Spmd:
    """One program over all devices of a mesh.

    Written variables are donated: their old values are gone after a call. What passes between the
    devices (sums of gradients, moments of batches) follows from how inputs are split.

    Args:
        program: what to run.
        mesh: of `data_mesh`; its devices may be those of a topology that is not there.

    Attributes:
        jitted: jax.jit's function of (written values, other variables' values, inputs), a list
            each, to (outputs, new values).
        arguments: jax.ShapeDtypeStructs of its arguments, with their shardings.
    """

    def __init__(self, program: Program, mesh: Mesh):
        self.program, self.mesh = program, mesh
        written = set(program.written)
        self.kept = tuple(i for i in range(len(program.variables)) if i not in written)
        exported = _exported(program)

        def call(new: list, kept: list, inputs: list) -> tuple[list, list]:
            values = dict(zip(program.written, new, strict=True))
            values |= dict(zip(self.kept, kept, strict=True))
            flat = exported.call(*inputs, *[values[i] for i in range(len(values))])
            return flat[: len(program.outputs)], flat[len(program.outputs) :]

        new = [self.sharding(program.variables[i]) for i in program.written]
        self.jitted = jax.jit(
            call,
            in_shardings=(
                new,
                [self.sharding(program.variables[i]) for i in self.kept],
                [self.sharding(one) for one in program.inputs],
            ),
            out_shardings=([self.sharding(one) for one in program.outputs], new),
            donate_argnums=0,
        )
        self.arguments = (
            [self._struct(program.variables[i]) for i in program.written],
            [self._struct(program.variables[i]) for i in self.kept],
            [self._struct(one) for one in program.inputs],
        )

    def sharding(self, array: Array) -> NamedSharding:
        """How an argument or a result lies on the devices."""
        return sharding_of(array, self.mesh)

    def lower(self, platform: str) -> Any:
        """What `.compile()` compiles for the mesh's devices, which need not be there.

        Args:
            platform: "cpu", "cuda" or "tpu".
        """
        return self.jitted.trace(*self.arguments).lower(lowering_platforms=(platform,))

    def _struct(self, array: Array) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=self.sharding(array))


def _exported(program: Program) -> export.Exported:
    """The program as what jax itself would have exported: a function of flat arguments."""
    arguments = [_shape(one) for one in (*program.inputs, *program.variables)]
    results = [_shape(one) for one in program.outputs]
    results += [_shape(program.variables[i]) for i in program.written]

    def stand_in(*_: Any) -> list:
        return [jax.numpy.zeros(one.shape, one.dtype) for one in results]

    exported = export.export(
        jax.jit(stand_in, keep_unused=True),
        platforms=("cpu",),
        disabled_checks=[export.DisabledSafetyCheck.platform()],
    )(*arguments)
    artifact = mlir.serialize_portable_artifact(
        program.stablehlo, stablehlo.get_current_version(), True
    )
    return dataclasses.replace(
        exported,
        mlir_module_serialized=artifact,
        module_kept_var_idx=tuple(range(len(arguments))),
    )


def _shape(array: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)
