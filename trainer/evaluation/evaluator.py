"""A network over all records of some splits: every row once, in the records' order."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.keras_module import keras
from trainer.runtime import Accelerator, HostBatches

Batch = dict[str, tf.Tensor]


class Diverged(Exception):
    """Logits that are NaN or infinite: so are the weights."""


def intact_rows(logits: np.ndarray) -> np.ndarray:
    """Bool [num_records]: which rows of `Evaluator.logits` are of records that could be read."""
    return np.isfinite(logits).all(axis=1)


class RowOutputs:
    """Outputs of `network` for batches of records, on all replicas; traced once.

    Args:
        network: images float32 [batch, height, width, 3], 0..255, to [batch, n].
        accelerator: where it runs.
        images: what the network sees of a batch, on the device.
        needs: what that is made of.

    Attributes:
        needs: the tensors of a batch that are read.
    """

    def __init__(
        self,
        network: keras.Model,
        accelerator: Accelerator,
        images: Callable[[Batch], tf.Tensor] = lambda batch: tf.cast(batch["image"], tf.float32),
        needs: tuple[str, ...] = ("image",),
    ):
        self._network, self._images = network, images
        self.needs = ("index", "weight", *needs)
        self._outputs = accelerator.runtime.over_batches(self._forward, axes=(0, 0, 0))

    def rows(
        self, num_records: int, batches: Iterable[Any], go_on: Callable[[], bool] = lambda: True
    ) -> np.ndarray | None:
        """float32 [num_records, n]; None if `go_on`, asked after each batch, says no.

        The rows of damaged records, where they are skipped, are NaN.

        Args:
            num_records: rows of the result.
            batches: as the runtime gives them to its functions.
            go_on: whether to.

        Raises:
            Diverged: the network gives something else than numbers.
        """
        result: np.ndarray | None = None
        for rows, weights, outputs in self._outputs(batches):
            if result is None:
                result = np.full((num_records, outputs.shape[1]), np.nan, np.float32)
            real = weights > 0
            if not np.isfinite(outputs[real]).all():
                raise Diverged
            result[rows[real]] = outputs[real]
            if not go_on():
                return None
        return result

    def _forward(self, batch: Batch) -> tuple[tf.Tensor, ...]:
        outputs = self._network(self._images(batch), training=False)
        return batch["index"], batch["weight"], tf.cast(outputs, tf.float32)


class Evaluator:
    """Logits of `network` for batches of `eval_batches`, on all replicas.

    Args:
        network: images float32 [batch, height, width, 3], 0..255, to float32 logits.
        accelerator: where it runs.
        num_records: rows of the result.
        batches: (num_hosts, host) -> the host's part of each batch: image, weight, index.
        num_batches: how many these are.
    """

    def __init__(
        self,
        network: keras.Model,
        accelerator: Accelerator,
        num_records: int,
        batches: HostBatches,
        num_batches: int,
    ):
        self._outputs, self._num_records = RowOutputs(network, accelerator), num_records
        self._batches = accelerator.runtime.passes(batches, num_batches, self._outputs.needs)

    def logits(self, go_on: Callable[[], bool] = lambda: True) -> np.ndarray | None:
        """float32 [num_records, num_classes]; see `RowOutputs.rows`."""
        return self._outputs.rows(self._num_records, self._batches, go_on)
