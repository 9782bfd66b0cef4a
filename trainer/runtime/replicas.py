"""TensorFlow's own runtime: functions under a tf.distribute strategy."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf

from orchard.autograph import as_written
from trainer.runtime.runtime import Batch, HostBatches, Outputs, Passes, endless, one_behind

PerReplica = Any  # A tensor, or under a strategy of several replicas one for each of them.


class TensorFlowRuntime:
    """Runs functions of batches under a strategy; see `Runtime`.

    Args:
        strategy: in whose scope the variables are; default: the current one.
        num_hosts: processes that run the same.
    """

    name = "tensorflow"

    def __init__(self, strategy: tf.distribute.Strategy | None = None, num_hosts: int = 1):
        self._strategy = strategy or tf.distribute.get_strategy()
        self._num_hosts = num_hosts

    def scope(self) -> AbstractContextManager[Any]:
        """The strategy's."""
        return self._strategy.scope()

    @property
    def num_replicas(self) -> int:
        """Over all hosts."""
        return self._strategy.num_replicas_in_sync

    def describe(self) -> str:
        """The runtime and its strategy."""
        name = type(self._strategy).__name__
        # TensorFlow's default, for one device, has a private name that says nothing to a user.
        return "TensorFlow" if name.startswith("_") else f"TensorFlow ({name})"

    def compute_capability(self) -> tuple[int, int]:
        """Of this host's GPUs."""
        gpus = tf.config.get_visible_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return min((one.get("compute_capability", (0, 0)) for one in details), default=(0, 0))

    @as_written
    def distribute(self, batches: HostBatches, needed: Sequence[str] = ()) -> Iterable[Batch]:
        """Spread batches over all replicas.

        Args:
            batches: on a TPU pod one process asks for every host's, and each host then reads its
                own.
            needed: TensorFlow leaves out by itself what is not read.
        """
        del needed
        if self.num_replicas == 1:
            return batches(1, 0)
        return self._strategy.distribute_datasets_from_function(
            lambda context: replica_batches(batches, self.num_replicas, context)
        )

    def passes(
        self, batches: HostBatches, num_batches: int, needed: Sequence[str] = ()
    ) -> Iterable[Batch]:
        """The same, again and again."""
        if self.num_replicas > 1:
            # An iterator over several replicas would read the next pass ahead, onto the devices.
            return self.distribute(batches, needed)

        def repeated(num_hosts: int, host: int) -> tf.data.Dataset:
            # The last of all stages: nothing is read before a pass asks for its first batch.
            return endless(batches(num_hosts, host))

        return Passes(lambda: iter(self.distribute(repeated, needed)), num_batches)

    def over_batches(
        self, function: Callable[[Batch], Sequence[tf.Tensor]], axes: Sequence[int | None]
    ) -> Callable[[Iterable[Any]], Iterator[Outputs]]:
        """`function` of each replica's part, its outputs put together."""

        @tf.function(autograph=False)
        def step(batch: Batch) -> list[PerReplica]:
            outputs = self._strategy.run(function, args=(batch,))
            return [self._of_all_hosts(o, axis) for o, axis in zip(outputs, axes, strict=True)]

        def fetched(outputs: list[PerReplica]) -> Outputs:
            return tuple(self._on_host(o, axis) for o, axis in zip(outputs, axes, strict=True))

        def run(batches: Iterable[Any]) -> Iterator[Outputs]:
            for outputs in one_behind(map(step, batches)):
                yield fetched(outputs)

        return run

    def sum_over_replicas(self, value: int) -> int:
        """By the strategy's own reduction."""
        values = self._strategy.run(lambda: tf.constant(value, tf.int64))
        return int(self._strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))

    def start_profile(self, folder: str) -> None:
        """Begin a trace of TensorFlow's profiler."""
        tf.profiler.experimental.start(folder)

    def stop_profile(self) -> None:
        """End it."""
        tf.profiler.experimental.stop()

    def _of_all_hosts(self, output: PerReplica, axis: int | None) -> PerReplica:
        if axis is None or self._num_hosts == 1:
            return output
        return self._strategy.gather(output, axis=axis)

    def _on_host(self, output: PerReplica, axis: int | None) -> np.ndarray:
        parts = [part.numpy() for part in self._strategy.experimental_local_results(output)]
        return parts[0] if axis is None else np.concatenate(parts, axis=axis)


def replica_batches(
    batches: HostBatches, num_replicas: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """One host's parts of each batch, cut for its replicas, one element a replica."""
    dataset = batches(context.num_input_pipelines, context.input_pipeline_id)
    replicas = num_replicas // context.num_input_pipelines
    if replicas > 1:
        dataset = dataset.map(lambda batch: _cut(batch, replicas)).unbatch()
    return dataset.prefetch(2 * replicas)


def _cut(batch: Batch, parts: int) -> Batch:
    return {
        name: tf.reshape(value, [parts, value.shape[0] // parts, *value.shape[1:]])
        for name, value in batch.items()
    }
