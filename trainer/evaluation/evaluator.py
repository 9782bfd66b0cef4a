"""A network over all records of some splits: every row once, in the records' order."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.keras_module import keras
from trainer.runtime import Accelerator

Batch = dict[str, tf.Tensor]
PerReplica = Any  # A tensor, or under a strategy of several replicas one for each of them.


class Diverged(Exception):
    """Logits that are NaN or infinite: so are the weights."""


def intact_rows(logits: np.ndarray) -> np.ndarray:
    """Bool [num_records]: which rows of `Evaluator.logits` are of records that could be read."""
    return np.isfinite(logits).all(axis=1)


class Evaluator:
    """Logits of `network` for batches of `eval_batches`, on all replicas.

    Args:
        network: images float32 [batch, height, width, 3], 0..255, to float32 logits.
        accelerator: where it runs.
        num_records: rows of the result.
        batches: (num_hosts, host) -> the host's part of each batch: image, weight, index.
    """

    def __init__(
        self,
        network: keras.Model,
        accelerator: Accelerator,
        num_records: int,
        batches: Callable[[int, int], tf.data.Dataset],
    ):
        self._network, self._accelerator = network, accelerator
        self._num_records, self._batches = num_records, batches
        self._step = tf.function(self._forward)

    def logits(self, go_on: Callable[[], bool] = lambda: True) -> np.ndarray | None:
        """float32 [num_records, num_classes]; None if `go_on`, asked after each batch, says no.

        The rows of damaged records, where they are skipped, are NaN.

        Raises:
            Diverged: the network gives something else than numbers.
        """
        result: np.ndarray | None = None
        for batch in distribute(self._batches, self._accelerator):
            rows, weights, logits = (self._on_host(value) for value in self._step(batch))
            if result is None:
                result = np.full((self._num_records, logits.shape[1]), np.nan, np.float32)
            real = weights > 0
            if not np.isfinite(logits[real]).all():
                raise Diverged
            result[rows[real]] = logits[real]
            if not go_on():
                return None
        return result

    def _forward(self, batch: Batch) -> tuple[PerReplica, ...]:
        logits = self._accelerator.strategy.run(self._replica_forward, args=(batch["image"],))
        return tuple(self._all_rows(value) for value in (batch["index"], batch["weight"], logits))

    def _replica_forward(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(self._network(tf.cast(images, tf.float32), training=False), tf.float32)

    def _all_rows(self, per_replica: PerReplica) -> PerReplica:
        if self._accelerator.num_hosts > 1:  # Every worker scores all rows.
            return self._accelerator.strategy.gather(per_replica, axis=0)
        return per_replica

    def _on_host(self, value: PerReplica) -> np.ndarray:
        parts = self._accelerator.strategy.experimental_local_results(value)
        return np.concatenate([part.numpy() for part in parts])


def distribute(
    batches: Callable[[int, int], tf.data.Dataset], accelerator: Accelerator
) -> Iterable[Batch]:
    """Spread batches over all replicas, in contiguous parts of equal size.

    Args:
        batches: (num_hosts, host) -> the host's part of each batch. On a TPU pod one process asks
            for every host's, and each host then reads its own.
        accelerator: what to spread over.
    """
    if accelerator.num_replicas == 1:
        return batches(1, 0)
    return accelerator.strategy.distribute_datasets_from_function(
        lambda context: replica_batches(batches, accelerator.num_replicas, context)
    )


def replica_batches(
    batches: Callable[[int, int], tf.data.Dataset],
    num_replicas: int,
    context: tf.distribute.InputContext,
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
