"""What runs a training step: TensorFlow under a strategy, or XLA on the devices that jax drives.

Keras 3's own `fit` fails with several steps a call under strategies and with several workers.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import tensorflow as tf

from trainer.runtime import Accelerator
from trainer.training.step import Batch, OneUpdate, Step, StepOptions, StepResults, Update

if TYPE_CHECKING:
    from trainer.runtime import DeviceBatches, PjrtRuntime


def make_step(update: Update, accelerator: Accelerator, options: StepOptions) -> Step:
    """The kind that the accelerator's runtime runs."""
    if accelerator.runtime.name == "pjrt":
        return PjrtStep(update, cast("PjrtRuntime", accelerator.runtime), options)
    return TrainStep(update, accelerator.strategy, options, accelerator.kind == "cpu")


class TrainStep(OneUpdate):
    """The compiled step, or a loop of several: `strategy.run` inside one tf.function.

    Args:
        update: what it learns.
        strategy: what it runs under.
        options: how it is computed.
        on_cpu: whether a lone thread might take the step before it reads the clock that says when
            the batch came; the step waits for the clock then.
    """

    def __init__(
        self,
        update: Update,
        strategy: tf.distribute.Strategy,
        options: StepOptions,
        on_cpu: bool = False,
    ):
        super().__init__(update, options)
        self.strategy = strategy
        self._clock_first = options.time_data and on_cpu
        self._loop = tf.function(self._steps, autograph=False)
        if options.jit_compile:
            self._step = tf.function(self.replica_step, jit_compile=True, autograph=False)
        else:
            self._step = self.replica_step

    def holding_state(self) -> AbstractContextManager[None]:
        """The variables always hold it."""
        return nullcontext()

    def run(self, batches: Iterator[Batch], learning_rates: np.ndarray) -> StepResults:
        """Take one step for each learning rate; `batches` gives a batch a step."""
        padded = np.zeros(self.options.steps_per_call, np.float32)
        padded[: len(learning_rates)] = learning_rates
        # A tensor, not a Python number, which would trace the loop again for every length.
        num_steps = tf.constant(len(learning_rates))
        losses, wait_seconds = self._loop(batches, tf.constant(padded), num_steps)
        return StepResults(losses.numpy(), float(wait_seconds))

    def _steps(
        self, iterator: Iterator[Batch], learning_rates: tf.Tensor, num_steps: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if self.options.steps_per_call == 1:
            # Within a loop TensorFlow optimizes the graph twice: a quarter of a large network's
            # start.
            loss, wait_seconds = self._one_step(iterator, learning_rates[0], tf.constant(0.0))
            return loss[None], wait_seconds

        def step(
            i: tf.Tensor, loss: tf.Tensor, losses: tf.TensorArray, wait_seconds: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.Tensor]:
            loss, waited = self._one_step(iterator, learning_rates[i], loss)
            return i + 1, loss, losses.write(i, loss), wait_seconds + waited

        start = (0, 0.0, tf.TensorArray(tf.float32, num_steps), tf.constant(0.0, tf.float64))
        _, _, losses, wait_seconds = tf.while_loop(lambda i, *_: i < num_steps, step, start)
        return losses.stack(), wait_seconds

    def _one_step(
        self, iterator: Iterator[Batch], learning_rate: tf.Tensor, previous: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of the next batch, and how long that was waited for after the loss before."""
        with tf.control_dependencies([previous]):
            asked = self._now()
        with tf.control_dependencies([asked]):
            batch = next(iterator)
        with tf.control_dependencies(self._tensors(batch)):
            waited = self._now() - asked
        if self._clock_first:
            with tf.control_dependencies([waited]):
                batch = tf.nest.map_structure(tf.identity, batch, expand_composites=True)
        per_replica = self.strategy.run(self._step, args=(batch, learning_rate))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None), waited

    def _now(self) -> tf.Tensor:
        return tf.timestamp() if self.options.time_data else tf.constant(0.0, tf.float64)

    def _tensors(self, batch: Batch) -> list[tf.Tensor]:
        return tf.nest.flatten(
            [self.strategy.experimental_local_results(value) for value in batch.values()]
        )


class PjrtStep(OneUpdate):
    """The step of the whole batch as one program; the devices keep the state between calls."""

    def __init__(self, update: Update, runtime: "PjrtRuntime", options: StepOptions):
        super().__init__(update, options)
        self._on_devices = runtime.function(self._whole_step, axes=[None])

    def holding_state(self) -> AbstractContextManager[None]:
        """On the devices; the variables get it back at the end."""
        return self._on_devices.holding()

    def run(self, batches: Iterator[Any], learning_rates: np.ndarray) -> StepResults:
        """Take one step for each learning rate; the losses are fetched together."""
        batches = cast("DeviceBatches", batches)  # As its runtime distributes them.
        self._on_devices.prepare(batches, num_scalars=1)
        losses: list = []
        wait_seconds = 0.0
        for rate in learning_rates:
            if batches.is_waiting:
                # The devices wait from when they are done with the step before.
                for loss in losses[-1:]:
                    self._on_devices.fetch(loss)
                began = time.monotonic()
                batch = next(batches)
                wait_seconds += time.monotonic() - began
            else:
                batch = next(batches)
            losses += self._on_devices(batch, np.float32(rate))
        return StepResults(np.array([self._on_devices.fetch(x) for x in losses]), wait_seconds)

    def _whole_step(self, batch: Batch, learning_rate: tf.Tensor) -> list[tf.Tensor]:
        return [self.replica_step(batch, learning_rate)]
