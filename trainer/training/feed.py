"""The training records of one run as batches: to train on, to re-estimate statistics from."""

import functools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from orchard.flags import select
from trainer.augment import AugmentOptions
from trainer.config import TrainConfig
from trainer.data import InputOptions, OrderOptions, RecordTable, TrainOrder
from trainer.data import pipeline as input_pipeline
from trainer.runtime import Accelerator, HostBatches
from trainer.training.plan import Plan
from trainer.training.step import STEP_INPUTS, Batch

_MOMENTS_SEED_OFFSET = 1_000_003  # Its own order of records, apart from the training's.


@dataclass(frozen=True)
class Feed:
    """Reads a run's training records onto its devices.

    Attributes:
        config: the flags.
        accelerator: the devices.
        plan: batch sizes.
        records: what is trained on.
    """

    config: TrainConfig
    accelerator: Accelerator
    plan: Plan
    records: RecordTable

    @functools.cached_property
    def input_options(self) -> InputOptions:
        """How images are read and resized."""
        return select(InputOptions, self.config)

    @property
    def order(self) -> OrderOptions:
        """The order that training records come in."""
        return input_pipeline.order_options(self.records, self.input_options, self.plan.batch_size)

    def batch_ids(self, step: int) -> list[str]:
        """Ids of the training records of a step, over all hosts."""
        records = self.records
        gids, _ = TrainOrder(
            records.runs,
            self.order,
            batch_size=self.plan.batch_size,
            seed=self.config.seed,
        ).step(step)
        return [str(records.ids[gid]) for gid in gids]

    def train_batches(self, start_step: int, num_steps: int) -> Iterator[Batch]:
        """An iterator over this process's training batches from `start_step` on."""
        config = self.config
        batches = self._host_batches(config.seed, start_step, num_steps, config.augment)
        return iter(self.accelerator.runtime.distribute(batches, STEP_INPUTS))

    def moment_batches(self) -> Iterable[Any]:
        """Training images, not augmented, to re-estimate BatchNorm statistics from; each time."""
        wanted = min(self.config.precise_batch_norm_images, len(self.records))
        num_batches = -(-wanted // self.plan.batch_size)
        seed = self.config.seed + _MOMENTS_SEED_OFFSET
        batches = self._host_batches(seed, 0, num_batches, None)
        return self.accelerator.runtime.passes(batches, num_batches, ("image",))

    def damage_named(self) -> AbstractContextManager[None]:
        """The context in which an error about a damaged record names its id."""
        return input_pipeline.damage_named(self.records, self.input_options)

    def _host_batches(
        self, seed: int, start_step: int, num_steps: int, augment: AugmentOptions | None
    ) -> HostBatches:
        def host_batches(num_hosts: int, host: int) -> tf.data.Dataset:
            return input_pipeline.train_batches(
                self.records,
                self.input_options,
                batch_size=self.plan.batch_size,
                seed=seed,
                start_step=start_step,
                num_steps=num_steps,
                augment=augment,
                num_hosts=num_hosts,
                host=host,
            )

        return host_batches
