"""The evaluation records of a run, and how they score its network."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from orchard.errors import OrchardError
from trainer.data import InputOptions, RecordTable, damage_named, eval_batches
from trainer.evaluation import Evaluator, evaluate, intact_rows
from trainer.keras_module import keras
from trainer.runtime import Accelerator


@dataclass(frozen=True)
class Scores:
    """What an evaluation came to.

    Attributes:
        logits: float32 [num_records, num_classes]; NaN in the rows of damaged records.
        by_metric: on the records that could be read.
        skipped_records: the number of the others.
    """

    logits: np.ndarray
    by_metric: dict[str, float]
    skipped_records: int


class Evaluation:
    """Scores `network` on all of `records`, again and again.

    Args:
        network: images 0..255 to logits.
        accelerator: where it runs.
        records: what to evaluate.
        options: how they are read.
        batch_size: images a step, over all replicas.
    """

    def __init__(
        self,
        network: keras.Model,
        accelerator: Accelerator,
        records: RecordTable,
        options: InputOptions,
        batch_size: int,
    ):
        self.records = records
        self._options, self._batch_size = options, batch_size
        self._evaluator = Evaluator(
            network, accelerator, len(records), self._host_batches, self.num_batches
        )

    @property
    def num_batches(self) -> int:
        """Steps of an evaluation."""
        return -(-len(self.records) // self._batch_size)

    def scores(self, go_on: Callable[[], bool]) -> Scores | None:
        """The scores of the network as it is; None if `go_on`, asked after each batch, says no.

        Raises:
            Diverged: the network gives something else than numbers.
            OrchardError: records are damaged: one where that is an error, or all.
        """
        with damage_named(self.records, self._options):
            logits = self._evaluator.logits(go_on)
        if logits is None:
            return None
        records, intact = self.records, intact_rows(logits)
        if not intact.any():
            raise OrchardError(
                f"all {len(records)} records of {'+'.join(records.splits)} are damaged; prepare "
                "the dataset again"
            )
        by_metric = evaluate(logits[intact], records.targets[intact], records.task)
        return Scores(logits, by_metric, int(np.sum(~intact)))

    def _host_batches(self, num_hosts: int, host: int) -> tf.data.Dataset:
        return eval_batches(
            self.records,
            self._options,
            batch_size=self._batch_size,
            num_hosts=num_hosts,
            host=host,
        )
