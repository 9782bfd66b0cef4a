"""Speed of the training loop: ours, Keras fit, and the bare compiled step, in one interleaved run.

    python -m benchmarks.train --architecture=mobilenet --image_size=64 --batch_size=32

All train the same network with SGD on one batch held in memory; rounds alternate, and a ratio
is the median over rounds of two neighbors. With --dataset, the share of time that our loop
then waits for data from the real pipeline. On a GPU: --precision=mixed_bfloat16 [--jit_compile].
"""

import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from orchard import cli
from orchard.formats import Task
from trainer.augment import AugmentOptions
from trainer.data import InputOptions, load_records, train_batches
from trainer.models import NetworkOptions, build_network
from trainer.optim import Objective
from trainer.runtime import set_precision
from trainer.training import StepOptions, TrainStep, Update

_ARCHITECTURE = flags.DEFINE_string("architecture", "mobilenet", "As in trainer.main.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 64, "Side in px.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images a step.")
_PRECISION = flags.DEFINE_string("precision", "float32", "float32 or mixed_bfloat16.")
_JIT_COMPILE = flags.DEFINE_bool("jit_compile", False, "Compile with XLA.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Rounds of each.")
_STEPS = flags.DEFINE_integer("steps", 10, "Steps a round.")
_DATASET = flags.DEFINE_string("dataset", "", "Also measure the wait for this dataset's images.")
_SPLIT = flags.DEFINE_string("split", "train", "Which split of it.")

_NUM_CLASSES = 10
_RATE = 1e-3


def main() -> None:
    """Measure and print the table."""
    set_precision(_PRECISION.value)
    contenders = {
        "bare step": bare_step(),
        "ours": our_loop(),
        "Keras fit": keras_fit(jit_compile="auto"),
        f"Keras fit, jit_compile={_JIT_COMPILE.value}": keras_fit(_JIT_COMPILE.value),
    }
    for run in contenders.values():
        run(2)  # Trace and compile.
    seconds = {name: [] for name in contenders}
    for _ in range(_ROUNDS.value):
        for name, run in contenders.items():
            began = time.perf_counter()
            run(_STEPS.value)
            seconds[name].append(time.perf_counter() - began)
    print(_title())
    print("| loop | images/s (median) | ours / it |\n|---|---|---|")
    for name, values in seconds.items():
        rate = _BATCH_SIZE.value * _STEPS.value / statistics.median(values)
        ratio = statistics.median(
            theirs / ours for theirs, ours in zip(values, seconds["ours"], strict=True)
        )
        print(f"| {name} | {rate:.1f} | {ratio:.3f} |")
    if _DATASET.value:
        print(f"wait for data from {_DATASET.value}: {data_wait_share():.1%} of the time")


def bare_step() -> Callable[[int], None]:
    """The least there can be: one compiled function of one batch, called in a Python loop."""
    network, optimizer = _network(), keras.optimizers.SGD(_RATE, momentum=0.9)
    optimizer.build(network.trainable_variables)
    batch = _batch()
    images, targets = tf.constant(batch["image"]), tf.constant(batch["target"])
    values = [variable.value for variable in network.trainable_variables]

    @tf.function(jit_compile=_JIT_COMPILE.value)
    def step():
        with tf.GradientTape() as tape:
            logits = network(tf.cast(images, tf.float32), training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, values), network.trainable_variables)
        return loss

    def run(steps: int) -> None:
        for _ in range(steps):
            loss = step()
        loss.numpy()

    return run


def our_loop() -> Callable[[int], None]:
    """`trainer.training.TrainStep` on batches in memory."""
    iterator = iter(tf.data.Dataset.from_tensors(_batch()).repeat())
    step = _train_step(lambda batch: (tf.cast(batch["image"], tf.float32), batch["target"]))

    def run(steps: int) -> None:
        step.run(iterator, np.full(steps, _RATE, np.float32))

    return run


def keras_fit(jit_compile: bool | str) -> Callable[[int], None]:
    """`Model.fit` as its users write it; "auto" is Keras's default."""
    network = _network()
    network.compile(
        optimizer=keras.optimizers.SGD(_RATE, momentum=0.9),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    batch = _batch()
    dataset = tf.data.Dataset.from_tensors((batch["image"], batch["target"])).repeat().prefetch(2)

    def run(steps: int) -> None:
        network.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0)

    return run


def data_wait_share() -> float:
    """The share of our loop's time in which it waits for the real pipeline."""
    records = load_records(_DATASET.value, _SPLIT.value)
    options = InputOptions(_IMAGE_SIZE.value, _IMAGE_SIZE.value)
    steps = _ROUNDS.value * _STEPS.value
    batches = iter(
        train_batches(
            records,
            options,
            batch_size=_BATCH_SIZE.value,
            seed=0,
            start_step=0,
            num_steps=steps + 2,
            augment=AugmentOptions(),
        )
    )
    step = _train_step(
        lambda batch: (tf.cast(batch["image"], tf.float32), batch["target"]),
        records.targets.shape[1],
    )
    step.run(batches, np.full(2, _RATE, np.float32))
    began, waited = time.perf_counter(), 0.0
    for _ in range(_ROUNDS.value):
        waited += step.run(batches, np.full(_STEPS.value, _RATE, np.float32)).wait_seconds
    return waited / (time.perf_counter() - began)


def _train_step(augment, num_classes: int = _NUM_CLASSES) -> TrainStep:
    network, optimizer = _network(num_classes), keras.optimizers.SGD(_RATE, momentum=0.9)
    optimizer.build(network.trainable_variables)
    objective = Objective(Task.SINGLE_LABEL)
    return TrainStep(
        Update(network, network.trainable_variables, optimizer, objective, augment),
        tf.distribute.get_strategy(),
        StepOptions(_BATCH_SIZE.value, steps_per_call=_STEPS.value, jit_compile=_JIT_COMPILE.value),
    )


def _network(num_classes: int = _NUM_CLASSES) -> keras.Model:
    size = _IMAGE_SIZE.value
    return build_network(NetworkOptions(_ARCHITECTURE.value, num_classes, size, size))


def _batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    count, size = _BATCH_SIZE.value, _IMAGE_SIZE.value
    return {
        "image": rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8),
        "target": np.eye(_NUM_CLASSES, dtype=np.float32)[rng.integers(0, _NUM_CLASSES, count)],
        "weight": np.ones(count, np.float32),
    }


def _title() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    name = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "CPU"
    return (
        f"{_ARCHITECTURE.value}, {_IMAGE_SIZE.value} px, batch {_BATCH_SIZE.value}, "
        f"{_PRECISION.value}{', XLA' if _JIT_COMPILE.value else ''}, {name}, TF {tf.__version__}"
    )


if __name__ == "__main__":
    cli.run(main)
