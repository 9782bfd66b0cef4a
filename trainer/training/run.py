"""One training: its parts, and what follows from them. `trainer.loop` is what drives it."""

import functools
from contextlib import AbstractContextManager
from dataclasses import dataclass

import tensorflow as tf

from orchard.formats import (
    Resolved,
    RunDir,
    TrainedDataset,
    TrainingCheckpoint,
    TrainingMeta,
)
from trainer.augment import augment_batch, mix_batch
from trainer.checkpoints import TrainState, evaluation_weights
from trainer.config import BEST_METRIC, TrainConfig
from trainer.data import RecordTable
from trainer.keras_module import keras
from trainer.models import batch_norm
from trainer.optim import Objective
from trainer.runtime import Accelerator
from trainer.training import plan as plans
from trainer.training import stages
from trainer.training.clock import ComputeClock
from trainer.training.evaluation import Evaluation
from trainer.training.feed import Feed
from trainer.training.moments import Moments
from trainer.training.step import Augment, Batch, Step, StepOptions, Update
from trainer.training.step_kinds import make_step


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
        clock: measures what it takes; None where nobody knows what its first part took.
        earlier_steps: where it was to end before more was asked for; None: it was not.
        start_fingerprint: of the backbone's weights before the first step; empty: not known.
    """

    config: TrainConfig
    accelerator: Accelerator
    plan: plans.Plan
    train_records: RecordTable
    eval_records: RecordTable | None
    objective: Objective
    state: TrainState
    clock: ComputeClock | None = None
    earlier_steps: int | None = None
    start_fingerprint: str = ""

    @functools.cached_property
    def feed(self) -> Feed:
        """The batches of this run."""
        return Feed(self.config, self.accelerator, self.plan, self.train_records)

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
    def evaluation_due(self) -> bool:
        """Whether the current step ends with an evaluation that has not been made."""
        step, made = self.state.progress.step, self.state.progress.evaluations
        return step in self.plan.eval_steps and not (made and made[-1]["step"] == step)

    @property
    def best_metric(self) -> str:
        """The metric that selects the step to export, or LAST_STEP."""
        return self.config.best_metric or BEST_METRIC

    @property
    def log_every_steps(self) -> int:
        """Steps between log lines: at least ten a run and one an epoch, where nobody said more."""
        plan = self.plan
        wanted = min(20, plan.total_steps // 10, round(plan.steps_per_epoch))
        return self.config.log_every_steps or max(1, wanted)

    def epoch(self, step: int) -> str:
        """How far a step is, for people: "epoch 1.5 of 8"."""
        plan = self.plan
        return f"epoch {step / plan.steps_per_epoch:.3g} of {plan.epochs:.3g}"

    @property
    def tensorboard_dir(self) -> str:
        """Where events and profiles go."""
        return RunDir(self.config.run_dir).tensorboard_dir

    def resolved(self) -> Resolved:
        """What the flags came to."""
        config, plan = self.config, self.plan
        return Resolved(
            train_split=plan.splits.train,
            eval_split=plan.splits.evaluate,
            batch_size=plan.batch_size,
            eval_batch_size=plan.eval_batch_size,
            learning_rate=plan.schedule.peak,
            warmup_steps=plan.schedule.warmup_steps,
            total_steps=plan.total_steps,
            image_size=f"{config.height_px}x{config.width_px}",
            precision=self.accelerator.precision(config),
            best_metric=self.best_metric,
            order=str(self.feed.order),
        )

    def checkpoint(self) -> TrainingCheckpoint:
        """A copy of the whole state, as it is now."""
        dataset = trained_dataset(self.config, self.train_records)
        progress = self.state.progress.copy()
        time = self.clock.time() if self.clock else None
        meta = TrainingMeta(
            self.config.to_json(),
            self.resolved(),
            dataset,
            progress,
            time,
            self.start_fingerprint,
        )
        return TrainingCheckpoint(progress.step, self.state.arrays(), meta)

    def make_step(self) -> Step:
        """The compiled step of the current stage."""
        config, plan = self.config, self.plan
        stages.set_stage(self.network, self.head_only, config.batch_norm == "frozen")
        options = StepOptions(
            global_batch=plan.batch_size,
            accumulation_steps=config.accumulation_steps,
            clip_norm=config.clip_norm,
            shards=self.accelerator.shards,
            steps_per_call=self.accelerator.steps_per_call(config.steps_per_call),
            jit_compile=config.jit_compile,
            time_data=_clock_works(),
        )
        update = Update(
            self.network,
            stages.trained_variables(self.network, self.head_only),
            self.optimizer,
            self.objective,
            _device_augment(config),
        )
        return make_step(update, self.accelerator, options)

    @functools.cached_property
    def evaluation(self) -> Evaluation | None:
        """The evaluation of the network; None without evaluation records."""
        if self.eval_records is None:
            return None
        return Evaluation(
            self.network,
            self.accelerator,
            self.eval_records,
            self.feed.input_options,
            self.plan.eval_batch_size,
        )

    def evaluation_weights(self) -> AbstractContextManager[None]:
        """The context in which the network holds the weights to evaluate."""
        # Where a stage ends, the next one's optimizer has not averaged anything yet.
        of_head = self.head_only or 0 < self.plan.freeze_steps == self.state.progress.step
        # A resumed run may begin with this evaluation: no step has set the stage.
        stages.set_stage(self.network, of_head, self.config.batch_norm == "frozen")
        layers = batch_norm.trained_layers(self.network)
        wanted = self.config.precise_batch_norm
        if wanted == "auto":
            settles = batch_norm.averages_settle(self.network, self.plan.total_steps)
            wanted = "on" if self.config.ema_momentum or not settles else "off"
        reestimate = self._moments.estimate if wanted == "on" and layers else None
        optimizer = self.state.optimizers[0 if of_head else -1]
        return evaluation_weights(self.network, optimizer, reestimate)

    @functools.cached_property
    def _moments(self) -> Moments:
        return Moments(self.network, batch_norm.trained_layers(self.network), self.feed)


def trained_dataset(config: TrainConfig, records: RecordTable) -> TrainedDataset:
    """What a training on these records remembers of its dataset."""
    parts = config.dataset.rstrip("/").split("/")
    return TrainedDataset(
        name=parts[-2] if len(parts) > 1 else parts[-1],
        version=parts[-1],
        fingerprint=records.fingerprint,
        class_names=records.class_names,
        task=records.task,
    )


def _device_augment(config: TrainConfig) -> Augment:
    options = config.augment

    def apply(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        images = augment_batch(batch["image"], batch["augment"], options)
        return mix_batch(images, batch["target"], batch["augment"], options, batch["weight"])

    return apply


def _clock_works() -> bool:
    # Not under op determinism, whether --deterministic or this process's own code asked for it.
    try:
        tf.timestamp()
    except tf.errors.FailedPreconditionError:
        return False
    return True
