"""jax's runtime (PJRT) under TensorFlow's functions: traced once, run as one program by XLA.

A function is traced for the whole batch, as if there were one device; XLA's partitioner divides it.
So gradients, and the moments of BatchNorm, are those of the global batch by construction.
"""

import collections
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import tensorflow as tf
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from orchard.autograph import as_written
from orchard.parallel import DaemonExecutor
from trainer.runtime.packing import Packing
from trainer.runtime.runtime import Batch, HostBatches, Outputs, Passes, endless, one_behind
from trainer.xla import Array, Spmd, sharding_of, trace

HostBatch = Mapping[str, np.ndarray]

_BATCHES_AHEAD = 2
_LOST = ("UNAVAILABLE", "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "Gloo", "coordination")


class PjrtRuntime:
    """Runs functions of batches on a mesh of devices; see `Runtime`.

    Args:
        mesh: of all hosts' devices.
        num_hosts: processes, each of which drives devices of its own.
        host: which of them this is.
    """

    name = "pjrt"

    def __init__(self, mesh: Mesh, num_hosts: int = 1, host: int = 0):
        self._mesh, self._num_hosts, self._host = mesh, num_hosts, host

    @property
    def num_replicas(self) -> int:
        """Over all hosts."""
        return self._mesh.size

    def scope(self) -> contextlib.AbstractContextManager[None]:
        """None: they are TensorFlow's on the host."""
        return contextlib.nullcontext()

    def describe(self) -> str:
        """The runtime and its version."""
        return f"PJRT (jax {jax.__version__})"

    def compute_capability(self) -> tuple[int, int]:
        """Of all hosts' GPUs; other makers' name theirs otherwise."""
        found = [getattr(one, "compute_capability", "") for one in self._mesh.devices.flat]
        matches = [re.fullmatch(r"(\d+)\.(\d+)", text) for text in found]
        return min((int(one[1]), int(one[2])) if one else (0, 0) for one in matches)

    @as_written
    def distribute(self, batches: HostBatches, needed: Sequence[str] = ()) -> "DeviceBatches":
        """This host's part of each batch, on its way to the devices while they work."""
        dataset = batches(self._num_hosts, self._host)
        return self._on_devices(dataset.as_numpy_iterator(), dataset.element_spec, needed)

    @as_written
    def passes(
        self, batches: HostBatches, num_batches: int, needed: Sequence[str] = ()
    ) -> "DevicePasses":
        """The same, again and again."""
        dataset = endless(batches(self._num_hosts, self._host))
        on_host = Passes(dataset.as_numpy_iterator, num_batches)
        return DevicePasses(lambda: self._on_devices(iter(on_host), dataset.element_spec, needed))

    def _on_devices(
        self,
        batches: Iterator[HostBatch],
        specs: Mapping[str, tf.TensorSpec],
        needed: Sequence[str],
    ) -> "DeviceBatches":
        return DeviceBatches(batches, specs, self._mesh, self._num_hosts, needed)

    def function(
        self, function: Callable[..., Sequence[tf.Tensor]], axes: Sequence[int | None]
    ) -> "DeviceFunction":
        """`function`, of a batch and scalars, on all devices; see `over_batches`."""
        return DeviceFunction(self._mesh, function, axes)

    def over_batches(
        self, function: Callable[[Batch], Sequence[tf.Tensor]], axes: Sequence[int | None]
    ) -> Callable[[Iterable[Any]], Iterator[Outputs]]:
        """`function` of each whole batch."""
        # Over several hosts each is handed all rows, not those of its own devices.
        on_devices = self.function(function, axes if self._num_hosts == 1 else [None] * len(axes))

        def fetched(outputs: list[jax.Array]) -> Outputs:
            return tuple(on_devices.fetch(output) for output in outputs)

        def run(batches: Iterable[Any]) -> Iterator[Outputs]:
            device_batches = iter(batches)
            assert isinstance(device_batches, DeviceBatches)
            on_devices.prepare(device_batches)
            with on_devices.holding(store=False):
                for outputs in one_behind(map(on_devices, device_batches)):
                    yield fetched(outputs)

        return run

    def sum_over_replicas(self, value: int) -> int:
        """By a gathering of all processes' values."""
        if self._num_hosts == 1:
            return value * self.num_replicas
        with tensorflows_errors(self._num_hosts):
            gathered = multihost_utils.process_allgather(np.int64(value))
        return int(np.sum(gathered)) * (self.num_replicas // self._num_hosts)

    def start_profile(self, folder: str) -> None:
        """Begin a trace of jax's profiler, which TensorBoard shows too."""
        jax.profiler.start_trace(folder)

    def stop_profile(self) -> None:
        """End it."""
        jax.profiler.stop_trace()


class DeviceBatches:
    """The batches of one host as global arrays on the devices, two of them ahead.

    Args:
        batches: arrays by name.
        specs: of them.
        mesh: that the batches are split over.
        num_hosts: processes that each bring an equal part of every batch.
        needed: the tensors that cross; default: all.

    Attributes:
        packing: how a batch crosses the bus.
    """

    def __init__(
        self,
        batches: Iterator[HostBatch],
        specs: Mapping[str, tf.TensorSpec],
        mesh: Mesh,
        num_hosts: int,
        needed: Sequence[str] = (),
    ):
        whole = {
            name: tf.TensorSpec((spec.shape[0] * num_hosts, *spec.shape[1:]), spec.dtype)
            for name, spec in specs.items()
            if name in needed or not needed
        }
        self.packing = Packing(whole)
        self._shardings = [sharding_of(one, mesh) for one in self.packing.arrays]
        self._batches = batches
        self._executor = DaemonExecutor(1)
        self._coming: collections.deque = collections.deque()
        self._ended = False

    def __iter__(self) -> "DeviceBatches":
        return self

    def __next__(self) -> list[jax.Array]:
        if self._ended:
            raise StopIteration
        while len(self._coming) < _BATCHES_AHEAD:
            self._coming.append(self._executor.submit(self._next))
        batch = self._coming.popleft().result()
        if batch is None:
            self._ended = True
            self._executor.shutdown(wait=False)
            raise StopIteration
        self._coming.append(self._executor.submit(self._next))
        return batch

    @property
    def is_waiting(self) -> bool:
        """Whether the next batch has still to be read or copied."""
        return not self._coming or not self._coming[0].done()

    def _next(self) -> list[jax.Array] | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        parts = self.packing.pack(batch)
        return [
            jax.make_array_from_process_local_data(sharding, part)
            for sharding, part in zip(self._shardings, parts, strict=True)
        ]


@dataclass(frozen=True)
class DevicePasses:
    """Batches that are read again and again.

    Attributes:
        begin: begins to read them from the first one.
    """

    begin: Callable[[], DeviceBatches]

    def __iter__(self) -> DeviceBatches:
        return self.begin()


class DeviceFunction:
    """A function of a batch and scalars on all devices, with the variables that it uses.

    The devices hold their values within `holding`; outside, the Keras variables are the truth.

    Args:
        mesh: the devices.
        function: (batch, *float32 scalars) -> outputs.
        axes: of each output, the one that is divided over the devices; None: none.
    """

    def __init__(
        self, mesh: Mesh, function: Callable[..., Sequence[tf.Tensor]], axes: Sequence[int | None]
    ):
        self._mesh, self._function, self._axes = mesh, function, axes
        self._spmd: Spmd | None = None
        self._variables: list[tf.Variable] = []
        self._new: list[jax.Array] | None = None
        self._kept: list[jax.Array] = []

    @contextlib.contextmanager
    def holding(self, store: bool = True) -> Iterator[None]:
        """In this context the devices hold the variables' values.

        Args:
            store: hand them back at the end, unless that is an error's.
        """
        self._new = None  # Loaded by the first call, whose batch says what is to be traced.
        try:
            yield
            if store and self._new is not None and self._spmd is not None:
                with tensorflows_errors(jax.process_count()):
                    for i, value in zip(self._spmd.program.written, self._new, strict=True):
                        self._variables[i].assign(np.asarray(value))
        finally:
            self._new, self._kept = None, []

    def prepare(self, batches: DeviceBatches, num_scalars: int = 0) -> None:
        """Trace and compile for such batches, unless that is done."""
        if self._spmd is not None:
            return
        packing, function = batches.packing, self._function
        scalars = [Array(f"scalar{i}", (), "float32") for i in range(num_scalars)]

        def of_arrays(*values: tf.Tensor) -> Sequence[tf.Tensor]:
            parts, rest = values[: len(packing.arrays)], values[len(packing.arrays) :]
            return function(packing.unpack(parts), *rest)

        traced = trace(of_arrays, [*packing.arrays, *scalars], self._axes)
        self._variables, self._spmd = traced.variables, Spmd(traced.program, self._mesh)

    def __call__(self, batch: Sequence[jax.Array], *scalars: np.float32) -> list[jax.Array]:
        """Its outputs, which may still be on their way."""
        spmd = self._spmd
        assert spmd is not None, "prepare comes first"
        with tensorflows_errors(jax.process_count()):
            if self._new is None:
                self._new = [self._on_devices(spmd, i) for i in spmd.program.written]
                self._kept = [self._on_devices(spmd, i) for i in spmd.kept]
            outputs, self._new = spmd.jitted(self._new, self._kept, [*batch, *scalars])
        return outputs

    def fetch(self, output: jax.Array) -> np.ndarray:
        """An output on the host, once it is there."""
        with tensorflows_errors(jax.process_count()):
            return np.asarray(output)

    def _on_devices(self, spmd: Spmd, index: int) -> jax.Array:
        sharding = spmd.sharding(spmd.program.variables[index])
        value = self._variables[index].numpy()
        return jax.make_array_from_process_local_data(sharding, value)


@contextlib.contextmanager
def tensorflows_errors(num_hosts: int) -> Iterator[None]:
    """Raises what jax says of memory that is used up, or a lost worker, as TensorFlow's errors."""
    try:
        yield
    # jax says ValueError where a collective fails before the computation begins.
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        message = str(error)
        if "RESOURCE_EXHAUSTED" in message:
            raise tf.errors.ResourceExhaustedError(None, None, message) from error
        if num_hosts > 1 and any(word in message for word in _LOST):
            raise tf.errors.UnavailableError(None, None, message) from error
        raise
