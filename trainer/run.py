"""One training put together: data, network, optimizers, steps. `trainer.loop` is what drives it."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from data_prep import storage
from data_prep.errors import OrchardError
from data_prep.manifest import load_manifest
from trainer import accelerator as accelerators
from trainer import augment, batch_norm, input_pipeline, objective, order, soft_labels, stages
from trainer import plan as plans
from trainer.accelerator import Accelerator
from trainer.config import TrainConfig
from trainer.evaluation import Evaluator, distribute
from trainer.records import RecordTable, load_records
from trainer.state import EvaluationWeights, TrainState
from trainer.step import StepOptions, TrainStep

_MOMENTS_SEED_OFFSET = 1_000_003  # Its own order of records, apart from the training's.


@dataclass
class Run:
    """All parts of one training.

    Attributes:
        config: the flags.
        accelerator: the devices.
        plan: splits, batch, steps, learning rate.
        train_records: what is trained on.
        eval_records: what is evaluated on, or None.
        objective: the loss.
        state: network, optimizers, progress. optimizers[0] trains the head alone, where the plan
            has such steps; the last one trains all.
    """

    config: TrainConfig
    accelerator: Accelerator
    plan: plans.Plan
    train_records: RecordTable
    eval_records: RecordTable | None
    objective: objective.Objective
    state: TrainState

    @property
    def network(self) -> keras.Model:
        """The network in training."""
        return self.state.network

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of the current stage."""
        return self.state.optimizers[0 if self.head_only else -1]

    @property
    def head_only(self) -> bool:
        """Whether only the head learns at the current step."""
        return self.state.progress.step < self.plan.freeze_steps

    @property
    def best_metric(self) -> str:
        """What the best checkpoint is best at."""
        default = "accuracy" if self.train_records.task == "single_label" else "roc_auc"
        return self.config.best_metric or default

    @property
    def tensorboard_dir(self) -> str:
        """Where events and profiles go."""
        return storage.join(self.config.run_dir, "tensorboard")

    def resolved(self) -> dict[str, Any]:
        """What the flags came to, by the names of the flags."""
        config = self.config
        return {
            **self.plan.resolved(),
            "image_size": f"{config.height_px}x{config.width_px}",
            "precision": accelerators.precision_policy(config, self.accelerator.kind),
            "best_metric": self.best_metric,
            "order": str(self._order),
        }

    @property
    def _order(self) -> order.OrderOptions:
        options = input_options(self.config)
        return input_pipeline.order_options(self.train_records, options, self.plan.batch_size)

    def batch_ids(self, step: int) -> list[str]:
        """Ids of the training records of a step, over all hosts."""
        records, batch_size = self.train_records, self.plan.batch_size
        gids, _ = order.TrainOrder(
            records.file_index,
            self._order,
            batch_size=batch_size,
            seed=self.config.seed,
        ).step(step)
        return [str(records.ids[gid]) for gid in gids]

    def dataset(self) -> dict[str, Any]:
        """What is kept of the dataset: name, version, fingerprint, classes, task."""
        records, parts = self.train_records, self.config.dataset.rstrip("/").split("/")
        return {
            "name": parts[-2] if len(parts) > 1 else parts[-1],
            "version": parts[-1],
            "fingerprint": records.fingerprint,
            "class_names": list(records.class_names),
            "task": records.task,
        }

    def make_step(self) -> TrainStep:
        """The compiled step of the current stage."""
        config, plan = self.config, self.plan
        stages.set_stage(self.network, self.head_only, config.batch_norm == "frozen")
        options = StepOptions(
            global_batch=plan.batch_size,
            accumulation_steps=config.accumulation_steps,
            clip_norm=config.clip_norm,
            steps_per_call=self.accelerator.steps_per_call(config.steps_per_call),
            jit_compile=config.jit_compile,
            time_data=not config.deterministic,
        )
        return TrainStep(
            self.network,
            stages.trained_variables(self.network, self.head_only),
            self.optimizer,
            self.objective,
            _device_augment(config),
            self.accelerator.strategy,
            options,
        )

    def train_batches(self, start_step: int, num_steps: int):
        """An iterator over this process's training batches from `start_step` on."""
        return iter(
            distribute(
                functools.partial(
                    self._batches, self.config.seed, start_step, num_steps, self.config.augment
                ),
                self.accelerator,
            )
        )

    @functools.cached_property
    def evaluator(self) -> Evaluator:
        """Scores the evaluation records."""
        return Evaluator(
            self.network,
            self.accelerator,
            len(self.eval_records.ids),
            lambda num_hosts, host: input_pipeline.eval_batches(
                self.eval_records,
                input_options(self.config),
                batch_size=self.plan.eval_batch_size,
                num_hosts=num_hosts,
                host=host,
            ),
        )

    def evaluation_weights(self) -> EvaluationWeights:
        """The context in which the network holds the weights to evaluate."""
        layers = batch_norm.trained_layers(self.network)
        wanted = self.config.precise_batch_norm
        if wanted == "auto":
            settles = batch_norm.averages_settle(self.network, self.plan.total_steps)
            wanted = "on" if self.config.ema_momentum or not settles else "off"
        precise = wanted == "on" and layers
        return EvaluationWeights(
            self.network,
            self.optimizer,
            self._reestimate_batch_norm if precise else None,
        )

    def _reestimate_batch_norm(self) -> None:
        plan = self.plan
        wanted = min(self.config.precise_batch_norm_images, len(self.train_records.ids))
        num_batches = -(-wanted // plan.batch_size)
        batches = distribute(
            functools.partial(
                self._batches, self.config.seed + _MOMENTS_SEED_OFFSET, 0, num_batches, None
            ),
            self.accelerator,
        )
        layers = batch_norm.trained_layers(self.network)
        with batch_norm.MomentsOfBatch(layers):
            batch_norm.estimate(layers, batches, self._training_forward)

    @functools.cached_property
    def _training_forward(self) -> Callable:
        strategy, network = self.accelerator.strategy, self.network

        def forward(images):
            network(tf.cast(images, tf.float32), training=True)

        return tf.function(lambda batch: strategy.run(forward, args=(batch["image"],)))

    def _batches(
        self, seed, start_step, num_steps, augment_with, num_hosts, host
    ) -> tf.data.Dataset:
        return input_pipeline.train_batches(
            self.train_records,
            input_options(self.config),
            batch_size=self.plan.batch_size,
            seed=seed,
            start_step=start_step,
            num_steps=num_steps,
            augment=augment_with,
            num_hosts=num_hosts,
            host=host,
        )


def prepare(config: TrainConfig, accelerator: Accelerator) -> Run:
    """Read the dataset's index, make the plan, build the network and the optimizers."""
    # A dataset of another program has no manifest of ours; its splits must be named.
    splits = (
        plans.Splits(config.train_split, config.eval_split or plans.NO_SPLIT)
        if config.train_split
        else plans.choose_splits(config, list(load_manifest(config.dataset).splits))
    )
    train_records = _labelled_records(config, splits.train)
    eval_records = None
    if splits.evaluate != plans.NO_SPLIT:
        eval_records = _labelled_records(config, splits.evaluate)
        _check_apart(train_records, eval_records)
    return assemble(config, accelerator, splits, train_records, eval_records)


def assemble(
    config: TrainConfig,
    accelerator: Accelerator,
    splits: plans.Splits,
    train_records: RecordTable,
    eval_records: RecordTable | None,
) -> Run:
    """Make the plan for these records, build the network and the optimizers."""
    plan = plans.make_plan(config, splits, len(train_records.ids), accelerator.num_replicas)
    weights = objective.class_weights(
        config.class_weights, train_records.targets, train_records.task
    )
    if config.soft_labels:
        targets = soft_labels.mix(config, train_records)
        train_records = dataclasses.replace(train_records, targets=targets)
    return Run(
        config=config,
        accelerator=accelerator,
        plan=plan,
        train_records=train_records,
        eval_records=eval_records,
        objective=objective.Objective(
            train_records.task, config.loss, config.focal_gamma, config.label_smoothing, weights
        ),
        state=stages.build_state(config, accelerator, len(train_records.class_names), plan),
    )


def input_options(config: TrainConfig) -> input_pipeline.InputOptions:
    """How images are read and resized."""
    return input_pipeline.InputOptions(
        height_px=config.height_px,
        width_px=config.width_px,
        resize=config.resize,
        exact_decode=config.exact_decode,
        reader=config.reader,
        cache=config.cache,
        cache_dir=config.cache_dir,
        on_bad_record=config.on_bad_record,
        threads=config.threads,
    )


def _device_augment(config: TrainConfig):
    options = config.augment

    def apply(batch):
        images = augment.apply(batch["image"], batch["augment"], options)
        return augment.mix(images, batch["target"], batch["augment"], options, batch["weight"])

    return apply


def _labelled_records(config: TrainConfig, splits: str) -> RecordTable:
    records = load_records(config.dataset, splits)
    unlabelled = np.flatnonzero(np.any(records.targets < 0, axis=1))
    if len(unlabelled):
        raise OrchardError(
            f"split {splits} has {len(unlabelled)} unlabelled records, such as id "
            f"{str(records.ids[unlabelled[0]])!r}; choose labelled splits"
        )
    if not len(records.ids):
        raise OrchardError(f"split {splits} holds no records")
    return records


def _check_apart(train: RecordTable, evaluate: RecordTable) -> None:
    shared = np.intersect1d(train.ids, evaluate.ids)
    if len(shared):
        raise OrchardError(
            f"{len(shared)} records are in the training and the evaluation splits, such as id "
            f"{str(shared[0])!r}; the scores would mean nothing"
        )
