"""Both runtimes: time of a step, in turn in one process, and time from a command to its first step.

    python -m benchmarks.runtimes --architectures=mobilenet,resnet50_v2 --image_size=64

All train the same network with SGD and momentum on one batch held in memory, on one CPU. Ratios are
medians over rounds of two neighbors. Starts are processes of their own, in turn: TensorFlow, with
and without --jit_compile, and jax with an empty compilation cache and with what that start left.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from absl import flags

from benchmarks import one_batch
from benchmarks.ratios import Better, report
from orchard import cli
from trainer.runtime import HardwareOptions, connect

_ARCHITECTURES = flags.DEFINE_list("architectures", ["mobilenet", "resnet50_v2"], "To measure.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 64, "Side in px.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Images a step.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds of steps.")
_STEPS = flags.DEFINE_integer("steps", 5, "Steps a round.")
_STARTS = flags.DEFINE_integer("starts", 3, "Rounds of starts; 0: none.")
_START = flags.DEFINE_string("start", "", "For a process of its own: make this contender ready.")

TENSORFLOW, JIT, PJRT = "TensorFlow", "TensorFlow, jit_compile", "PJRT"
_WARM = "PJRT, cached"


def main() -> None:
    """Measure and print the tables."""
    if _START.value:
        with contextlib.ExitStack() as stack:
            _contender(_ARCHITECTURES.value[0], _START.value, stack)(1)
            print(json.dumps({"done": time.time()}))
        return
    for architecture in _ARCHITECTURES.value:
        with contextlib.ExitStack() as stack:
            _print_steps(architecture, stack)
    if _STARTS.value:
        for architecture in _ARCHITECTURES.value:
            _print_starts(architecture)


def _print_steps(architecture: str, stack: contextlib.ExitStack) -> None:
    contenders = {name: _contender(architecture, name, stack) for name in (TENSORFLOW, JIT, PJRT)}
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


def _contender(architecture: str, name: str, stack: contextlib.ExitStack) -> Callable[[int], None]:
    """Takes so many steps, with its losses fetched together."""
    runtime = "pjrt" if name == PJRT else "tensorflow"
    return one_batch.our_steps(
        one_batch.random_network(architecture, _IMAGE_SIZE.value),
        one_batch.random_batch(_BATCH_SIZE.value, _IMAGE_SIZE.value),
        connect(HardwareOptions(accelerator="cpu", runtime=runtime)),
        stack,
        steps_per_call=max(_STEPS.value, 2),
        jit_compile=name == JIT,
    )


if __name__ == "__main__":
    cli.run(main)
