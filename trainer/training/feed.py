"""The batches of one run: to train on, to re-estimate statistics from, to evaluate on."""

import functools
from dataclasses import dataclass

import tensorflow as tf

from orchard.flags import select
from trainer.augment import AugmentOptions
from trainer.config import TrainConfig
from trainer.data import InputOptions, OrderOptions, RecordTable, TrainOrder
from trainer.data import pipeline as input_pipeline
from trainer.evaluation import distribute
from trainer.runtime import Accelerator
from trainer.training.plan import Plan

_MOMENTS_SEED_OFFSET = 1_000_003  # Its own order of records, apart from the training's.


@dataclass(frozen=True)
class Feed:
    """Reads a run's records onto its devices.

    Attributes:
        config: the flags.
        accelerator: the devices.
        plan: batch sizes.
        train_records: what is trained on.
        eval_records: what is evaluated on, or None.
    """

    config: TrainConfig
    accelerator: Accelerator
    plan: Plan
    train_records: RecordTable
    eval_records: RecordTable | None

    @functools.cached_property
    def input_options(self) -> InputOptions:
        """How images are read and resized."""
        return select(InputOptions, self.config)

    @property
    def order(self) -> OrderOptions:
        """The order that training records come in."""
        return input_pipeline.order_options(
            self.train_records, self.input_options, self.plan.batch_size
        )

    def batch_ids(self, step: int) -> list[str]:
        """Ids of the training records of a step, over all hosts."""
        records = self.train_records
        gids, _ = TrainOrder(
            records.file_index,
            self.order,
            batch_size=self.plan.batch_size,
            seed=self.config.seed,
        ).step(step)
        return [str(records.ids[gid]) for gid in gids]

    def train_batches(self, start_step: int, num_steps: int):
        """An iterator over this process's training batches from `start_step` on."""
        config = self.config
        return iter(self._distributed(config.seed, start_step, num_steps, config.augment))

    def moment_batches(self):
        """Training images, not augmented, to re-estimate BatchNorm statistics from."""
        wanted = min(self.config.precise_batch_norm_images, len(self.train_records.ids))
        num_batches = -(-wanted // self.plan.batch_size)
        return self._distributed(self.config.seed + _MOMENTS_SEED_OFFSET, 0, num_batches, None)

    def eval_batches(self, num_hosts: int, host: int) -> tf.data.Dataset:
        """A host's part of the evaluation batches."""
        return input_pipeline.eval_batches(
            self.eval_records,
            self.input_options,
            batch_size=self.plan.eval_batch_size,
            num_hosts=num_hosts,
            host=host,
        )

    def train_damage_named(self):
        """The context in which a damaged training record is told by its id."""
        return input_pipeline.damage_named(self.train_records, self.input_options)

    def eval_damage_named(self):
        """The context in which a damaged evaluation record is told by its id."""
        return input_pipeline.damage_named(self.eval_records, self.input_options)

    def _distributed(
        self, seed: int, start_step: int, num_steps: int, augment: AugmentOptions | None
    ):
        batches = functools.partial(self._host_batches, seed, start_step, num_steps, augment)
        return distribute(batches, self.accelerator)

    def _host_batches(
        self, seed, start_step, num_steps, augment, num_hosts, host
    ) -> tf.data.Dataset:
        return input_pipeline.train_batches(
            self.train_records,
            self.input_options,
            batch_size=self.plan.batch_size,
            seed=seed,
            start_step=start_step,
            num_steps=num_steps,
            augment=augment,
            num_hosts=num_hosts,
            host=host,
        )
