"""A traced TensorFlow function as one XLA program over many devices, run or compiled by jax.

`tracing` makes a `Program` of a function of batch and variables, and needs TensorFlow alone;
`pure_function` turns its variables into arguments and results. `spmd` makes of a program one jitted
function over a mesh, and needs jax alone: variables are replicated, batches are split, and XLA's
partitioner puts in what must pass between the devices. A program can be written to a file in
between, for a process that cannot hold both.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.xla.program import Array, Program
    from trainer.xla.pure_function import pure
    from trainer.xla.spmd import Spmd, data_mesh, enable_all_dtypes, sharding_of
    from trainer.xla.tracing import Traced, lower, trace

__all__ = [
    "Array",
    "Program",
    "Spmd",
    "Traced",
    "data_mesh",
    "enable_all_dtypes",
    "lower",
    "pure",
    "sharding_of",
    "trace",
]

__getattr__, __dir__ = attach(__name__)
