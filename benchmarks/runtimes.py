"""Both runtimes: time of a step, in turn in one process, and time from a command to its first step.

    python -m benchmarks.runtimes --architectures=mobilenet,resnet50_v2 --image_size=64

All train the same network with SGD and momentum on one batch held in memory, on one CPU. Ratios are
medians over rounds of two neighbors. Starts are processes of their own, in turn: TensorFlow, with
and without --jit_compile, and jax with an empty compilation cache and with what that start left.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks.ratios import Better, report
from orchard import cli
from orchard.formats import Task
from trainer.keras_module import keras
from trainer.models import NetworkOptions, build_network
from trainer.optim import Objective
from trainer.runtime import HardwareOptions, connect
from trainer.training import StepOptions, Update, make_step

_ARCHITECTURES = flags.DEFINE_list("architectures", ["mobilenet", "resnet50_v2"], "To measure.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 64, "Side in px.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Images a step.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds of steps.")
_STEPS = flags.DEFINE_integer("steps", 5, "Steps a round.")
_STARTS = flags.DEFINE_integer("starts", 3, "Rounds of starts; 0: none.")
_START = flags.DEFINE_string("start", "", "For a process of its own: make this contender ready.")

_NUM_CLASSES = 10
_RATE = 1e-3
TENSORFLOW, JIT, PJRT = "TensorFlow", "TensorFlow, jit_compile", "PJRT"
_WARM = "PJRT, cached"


def main() -> None:
    """Measure and print the tables."""
    if _START.value:
        _contender(_ARCHITECTURES.value[0], _START.value)(1)
        print(json.dumps({"done": time.time()}))
        return
    for architecture in _ARCHITECTURES.value:
        _print_steps(architecture)
    if _STARTS.value:
        for architecture in _ARCHITECTURES.value:
            _print_starts(architecture)


def _print_steps(architecture: str) -> None:
    contenders = {name: _contender(architecture, name) for name in (TENSORFLOW, JIT, PJRT)}
    for run in contenders.values():
        run(2)  # Trace and compile.
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(_ROUNDS.value):
        for name, run in contenders.items():
            began = time.perf_counter()
            run(_STEPS.value)
            seconds[name].append((time.perf_counter() - began) / _STEPS.value)
    title = f"{architecture}, a step of {_BATCH_SIZE.value} images"
    _print_table(title, seconds, PJRT)
    for name in (TENSORFLOW, JIT):
        report(
            f"{title} of {_IMAGE_SIZE.value} px by jax",
            f"{name}, the same step",
            ("jax", "tensorflow"),
            Better.LESS,
            ours=seconds[PJRT],
            theirs=seconds[name],
        )


def _print_starts(architecture: str) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in (TENSORFLOW, JIT, PJRT, _WARM)}
    for _ in range(_STARTS.value):
        with tempfile.TemporaryDirectory() as cache:
            for name in seconds:
                seconds[name].append(_start_seconds(architecture, name, cache))
    _print_table(f"{architecture}, from the command to the first step", seconds, PJRT)


def _start_seconds(architecture: str, name: str, cache: str) -> float:
    command = [sys.executable, "-m", "benchmarks.runtimes", f"--architectures={architecture}"]
    command += [f"--image_size={_IMAGE_SIZE.value}", f"--batch_size={_BATCH_SIZE.value}"]
    command += [f"--start={PJRT if name == _WARM else name}"]
    began = time.time()
    output = subprocess.run(
        command,
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": cache},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    ).stdout
    return json.loads(output.splitlines()[-1])["done"] - began


def _print_table(title: str, seconds: dict[str, list[float]], ours: str) -> None:
    size = _IMAGE_SIZE.value
    print(f"\n{title}, {size}x{size} px\n")
    print(f"| | seconds (median) | {ours} / it | range |\n|---|---|---|---|")
    for name, values in seconds.items():
        ratios = [one / other for one, other in zip(seconds[ours], values, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        middle = statistics.median(ratios)
        print(f"| {name} | {statistics.median(values):.3g} | {middle:.3f} | {spread} |")


def _contender(architecture: str, name: str) -> Callable[[int], None]:
    """Takes so many steps, with its losses fetched together."""
    runtime = "pjrt" if name == PJRT else "tensorflow"
    accelerator = connect(HardwareOptions(accelerator="cpu", runtime=runtime))
    size = _IMAGE_SIZE.value
    network = build_network(NetworkOptions(architecture, _NUM_CLASSES, size, size))
    optimizer = keras.optimizers.SGD(_RATE, momentum=0.9)
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
        StepOptions(
            global_batch=_BATCH_SIZE.value,
            steps_per_call=max(_STEPS.value, 2),
            jit_compile=name == JIT,
        ),
    )
    batches = iter(accelerator.runtime.distribute(lambda num_hosts, host: _batches()))
    steps = _endless(step, batches)

    def run(count: int) -> None:
        steps.send(count)

    next(steps)
    return run


def _endless(step, batches) -> Iterator:
    """Takes as many steps as it is sent, within one context: the devices keep the state."""
    with step.holding_state():
        count = yield
        while True:
            step.run(batches, np.full(count, _RATE, np.float32))
            count = yield


def _batches() -> tf.data.Dataset:
    size, rng = _IMAGE_SIZE.value, np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (_BATCH_SIZE.value, size, size, 3), dtype=np.uint8),
        "target": np.eye(_NUM_CLASSES, dtype=np.float32)[
            rng.integers(0, _NUM_CLASSES, _BATCH_SIZE.value)
        ],
        "weight": np.ones(_BATCH_SIZE.value, np.float32),
    }
    return tf.data.Dataset.from_tensors(batch).repeat()


if __name__ == "__main__":
    cli.run(main)
