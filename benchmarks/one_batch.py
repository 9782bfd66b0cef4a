"""What benchmarks.gpu and benchmarks.runtimes time: steps on one batch that is held in memory."""

import contextlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from orchard.formats import Task
from trainer.keras_module import keras
from trainer.models import NetworkOptions, build_network
from trainer.optim import Objective
from trainer.runtime import Accelerator
from trainer.training import StepOptions, Update, make_step

NUM_CLASSES = 10
RATE = 1e-3


def random_network(architecture: str, image_size_px: int) -> keras.Model:
    """A network with random weights."""
    return build_network(NetworkOptions(architecture, NUM_CLASSES, image_size_px, image_size_px))


def random_batch(batch_size: int, image_size_px: int) -> dict[str, np.ndarray]:
    """Noise, each image of one class at random."""
    rng = np.random.default_rng(0)
    shape = (batch_size, image_size_px, image_size_px, 3)
    return {
        "image": rng.integers(0, 256, shape, np.uint8),
        "target": np.eye(NUM_CLASSES, dtype=np.float32)[rng.integers(0, NUM_CLASSES, batch_size)],
        "weight": np.ones(batch_size, np.float32),
    }


def sgd() -> keras.optimizers.Optimizer:
    """The optimizer of all who take part."""
    return keras.optimizers.SGD(RATE, momentum=0.9)


def our_steps(
    network: keras.Model,
    batch: dict[str, np.ndarray],
    accelerator: Accelerator,
    stack: contextlib.ExitStack,
    *,
    steps_per_call: int,
    jit_compile: bool,
) -> Callable[[int], None]:
    """A function that takes so many steps; until `stack` ends, the devices keep the state."""
    optimizer = sgd()
    optimizer.build(network.trainable_variables)
    step = make_step(
        Update(
            network,
            network.trainable_variables,
            optimizer,
            Objective(Task.SINGLE_LABEL),
            lambda batch: (tf.cast(batch["image"], tf.float32), batch["target"]),
        ),
        accelerator,
        StepOptions(len(batch["image"]), steps_per_call=steps_per_call, jit_compile=jit_compile),
    )
    batches = iter(
        accelerator.runtime.distribute(lambda *_: tf.data.Dataset.from_tensors(batch).repeat())
    )
    stack.enter_context(step.holding_state())

    def run(count: int) -> None:
        step.run(batches, np.full(count, RATE, np.float32))

    return run
