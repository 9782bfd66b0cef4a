"""One training step: what is computed, whatever runs it (`step_kinds`).

`OneUpdate._part` makes a loss of logits and gradients of the loss; `replica_step` sums these over
replicas, clips them and hands them to the optimizer. Who wants another gradient changes it there.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from trainer.keras_module import keras
from trainer.optim import Objective, clip_by_global_norm

Batch = dict[str, tf.Tensor]
# What of a batch a step computes with.
STEP_INPUTS = ("image", "target", "weight", "augment")
# (batch: images uint8 [b, h, w, 3], target, augment) -> float32 images 0..255, targets.
Augment = Callable[[Batch], tuple[tf.Tensor, tf.Tensor]]
LossAndGradients = tuple[tf.Tensor, list[tf.Tensor]]


@dataclass(frozen=True)
class StepOptions:
    """How a step is computed.

    Attributes:
        global_batch: images a step over all replicas; the loss is their weighted mean.
        accumulation_steps: parts that a replica's batch is computed in, one after the other.
        shards: replicas whose batches a step is traced for together; each of them gives an equal
            share of every part.
        clip_norm: largest global norm of the summed gradient; 0: any.
        steps_per_call: most steps in one call.
        jit_compile: compile the step with XLA.
        time_data: measure how long devices wait for data; op determinism forbids clocks.
    """

    global_batch: int
    accumulation_steps: int = 1
    shards: int = 1
    clip_norm: float = 0.0
    steps_per_call: int = 1
    jit_compile: bool = False
    time_data: bool = True


@dataclass(frozen=True)
class StepResults:
    """What a call did.

    Attributes:
        losses: float32 [steps], the loss of each step before its update.
        wait_seconds: time in which the devices waited for data; 0 if not measured.
    """

    losses: np.ndarray
    wait_seconds: float


@dataclass(frozen=True)
class Update:
    """What a step learns, and from what.

    Attributes:
        network: float32 images 0..255 to float32 logits.
        variables: those of its variables that learn.
        optimizer: built for these variables.
        objective: the loss of each example.
        augment: from a batch to the images and targets that the network sees.
    """

    network: keras.Model
    variables: list[keras.Variable]
    optimizer: keras.optimizers.Optimizer
    objective: Objective
    augment: Augment


class Step(Protocol):
    """Takes updates, some at a call.

    Keras reads `trainable` and BatchNorm settings when the first call traces: set them before.

    Attributes:
        options: how.
    """

    options: StepOptions

    def holding_state(self) -> AbstractContextManager[None]:
        """The context to call `run` in; after it the variables hold what the steps came to."""
        ...

    def run(self, batches: Iterator[Any], learning_rates: np.ndarray) -> StepResults:
        """Take one step for each learning rate; `batches` gives a batch a step."""
        ...

    def replica_step(self, batch: Batch, learning_rate: tf.Tensor) -> tf.Tensor:
        """What one step computes; see `OneUpdate`."""
        ...


class OneUpdate:
    """What one step computes, on a replica's batch or on those of all `shards` together."""

    def __init__(self, update: Update, options: StepOptions):
        self.update, self.options = update, options

    def replica_step(self, batch: Batch, learning_rate: tf.Tensor) -> tf.Tensor:
        """One update from one replica's batch; returns its part of the loss. Runs on the device."""
        # Here, not in the loop around: that is the host's, which a TPU's variables are far from.
        self.update.optimizer.learning_rate.assign(learning_rate)
        images, targets = self.update.augment(batch)
        loss, gradients = self._loss_and_gradients(images, targets, batch["weight"])
        summed = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, gradients
        )
        clipped = clip_by_global_norm(summed, self.options.clip_norm)
        self.update.optimizer.apply(clipped, self.update.variables)
        return loss

    def _loss_and_gradients(
        self, images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> LossAndGradients:
        parts = zip(*[self._parts(one) for one in (images, targets, weights)], strict=True)
        loss = tf.constant(0.0)
        gradients: list[tf.Tensor] = []
        for part in parts:
            # One after the other: side by side they would need the memory of the whole batch.
            with tf.control_dependencies([loss, *gradients]):
                part_loss, part_gradients = self._part(*[tf.identity(tensor) for tensor in part])
            loss += part_loss
            gradients = (
                [a + b for a, b in zip(gradients, part_gradients, strict=True)]
                if gradients
                else part_gradients
            )
        return loss, gradients

    def _parts(self, rows: tf.Tensor) -> list[tf.Tensor]:
        """Equal parts of a batch, each of which holds as many rows of every shard."""
        count, shards = self.options.accumulation_steps, self.options.shards
        if shards == 1 or count == 1:
            return tf.split(rows, count)
        batch_size, *shape = rows.shape
        split = tf.reshape(rows, [shards, count, batch_size // (shards * count), *shape])
        return [tf.reshape(split[:, k], [batch_size // count, *shape]) for k in range(count)]

    def _part(self, images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> LossAndGradients:
        """The weighted loss of some images, and its gradient by each variable."""
        with tf.GradientTape() as tape:
            logits = self.update.network(images, training=True)
            losses = self.update.objective.per_example(logits, targets) * weights
            # By the GLOBAL batch: the gradients of replicas and parts are summed.
            loss = tf.reduce_sum(losses) / self.options.global_batch
        values = [variable.value for variable in self.update.variables]
        gradients = tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, gradients
