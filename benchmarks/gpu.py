"""Speed of training on one GPU: our loop on both runtimes and Keras fit, as a table.

    benchmarks/gpu.sh

installs what it needs and starts this. ResNet50 and EfficientNetV2-S at 224 px, with SGD, on one
batch held in memory: float32, TF32 and mixed_bfloat16, with XLA and without. The loops of one
network and one setting of TF32 run in one process, in turn, so a ratio to Keras fit of the same
precision is the median over rounds of two neighbors. Processes are started in the order of their
weight; what does not fit into --seconds is left out, and the table says so.

NVIDIA_TF32_OVERRIDE=0 turns TF32 off for both runtimes: TensorFlow and jax leave float32's
convolutions to cuDNN, which takes TF32 from compute capability 8.0 on.
"""

import contextlib
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from absl import flags

from orchard import cli, storage

FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", "gpu_results", "Where table.md and table.json go.")
flags.DEFINE_integer("batch_size", 64, "Images a step.")
flags.DEFINE_integer("rounds", 7, "Rounds of each loop.")
flags.DEFINE_integer("steps", 10, "Steps a round.")
flags.DEFINE_integer("seconds", 450, "End within this time.")
flags.DEFINE_bool("smoke", False, "A tiny network on whatever is here: a test of this script.")
flags.DEFINE_string("one", "", "(this script's own) Measure one process's part, a JSON.")

FIT, TENSORFLOW, PJRT = "Keras fit", "tensorflow", "pjrt"
_NOT_MEASURED = "not measured: time was up"


@dataclass(frozen=True)
class Loop:
    """One row: who trains, and how.

    Attributes:
        runtime: FIT, TENSORFLOW or PJRT.
        precision: "float32", "tf32" or "mixed_bfloat16".
        xla: whether it is compiled; Keras chooses for itself.
    """

    runtime: str
    precision: str
    xla: str

    @property
    def policy(self) -> str:
        """Keras's name of the precision."""
        return "mixed_bfloat16" if self.precision == "mixed_bfloat16" else "float32"


@dataclass(frozen=True)
class Part:
    """What one process measures.

    Attributes:
        architecture: as in trainer.main.
        image_size_px: the side.
        batch_size: images a step.
        loops: in the order in which they are prepared and take turns.
        tf32: whether TF32 is allowed.
        deadline: time.time() at which all must be written.
    """

    architecture: str
    image_size_px: int
    batch_size: int
    loops: tuple[Loop, ...]
    tf32: bool
    deadline: float = 0.0


@dataclass(frozen=True)
class Row:
    """What was measured of a loop.

    Attributes:
        architecture: the network.
        loop: who trained it.
        first_seconds: until two steps were done: tracing, compilation.
        round_seconds: of each round.
        round_images: in each round.
        problem: why there are no rounds.
    """

    architecture: str
    loop: Loop
    first_seconds: float = 0.0
    round_seconds: tuple[float, ...] = ()
    round_images: int = 0
    problem: str = ""


def _loops(*precisions: str) -> tuple[Loop, ...]:
    return tuple(
        loop
        for precision in precisions
        for loop in (
            Loop(FIT, precision, "auto"),
            Loop(TENSORFLOW, precision, "no"),
            Loop(PJRT, precision, "yes"),
            Loop(TENSORFLOW, precision, "yes"),
        )
    )


def parts() -> list[Part]:
    """All processes, the most wanted first."""
    if FLAGS.smoke:
        return [Part("mobilenet", 32, 8, _loops("float32"), tf32=False)]
    return [
        Part(architecture, 224, FLAGS.batch_size, _loops(*precisions), tf32)
        for tf32, precisions in ((True, ("mixed_bfloat16", "tf32")), (False, ("float32",)))
        for architecture in ("resnet50", "efficientnet_v2_s")
    ]


def main() -> None:
    """Measure part by part, and write the table after each."""
    if FLAGS.one:
        print(json.dumps(_measure_one(json.loads(FLAGS.one))))
        return
    deadline = math.inf if FLAGS.smoke else time.time() + FLAGS.seconds
    device, rows = "", []
    for part in parts():
        found = _in_process(dataclasses.replace(part, deadline=deadline))
        device = found.get("device", device)
        rows += [_row(one) for one in found["rows"]]
        _write(device, rows)
    print(table(device, rows))


def _in_process(part: Part) -> dict:
    """The part's rows, whatever becomes of its process."""
    remaining = part.deadline - time.time()
    if remaining < 30:
        return _without_rounds(part, _NOT_MEASURED)
    environment = {
        **os.environ,
        "NVIDIA_TF32_OVERRIDE": "1" if part.tf32 else "0",
        # Both runtimes share the memory.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
    command = [sys.executable, "-m", "benchmarks.gpu", f"--one={json.dumps(_json(part))}"]
    command += [f"--rounds={FLAGS.rounds}", f"--steps={FLAGS.steps}"]
    print(f"{part.architecture}, TF32 {'on' if part.tf32 else 'off'} ...", file=sys.stderr)
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=None if math.isinf(remaining) else remaining,
        )
    except subprocess.TimeoutExpired:
        return _without_rounds(part, _NOT_MEASURED)
    if done.returncode:
        return _without_rounds(part, f"the process ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def _without_rounds(part: Part, problem: str) -> dict:
    return {"rows": [_json(Row(part.architecture, loop, problem=problem)) for loop in part.loops]}


def _measure_one(values: dict) -> dict:
    loops = tuple(Loop(**loop) for loop in values.pop("loops"))
    part = Part(**values, loops=loops)
    began = time.time()
    running: dict[Loop, Callable[[int], None]] = {}
    first_seconds: dict[Loop, float] = {}
    problems: dict[Loop, str] = {}
    with contextlib.ExitStack() as stack:
        for loop in loops:
            # Rounds take a part of what is left.
            if time.time() - began > 0.7 * (part.deadline - began):
                problems[loop] = _NOT_MEASURED
                continue
            started = time.perf_counter()
            try:
                running[loop] = _start(part, loop, stack)
                running[loop](2)
            except Exception as error:  # One loop's failure is its row's.
                running.pop(loop, None)
                problems[loop] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            first_seconds[loop] = time.perf_counter() - started
        seconds: dict[Loop, list[float]] = {loop: [] for loop in loops}
        for i in range(FLAGS.rounds):
            if i and time.time() > part.deadline - 15:
                break
            for loop, run in running.items():
                started = time.perf_counter()
                run(FLAGS.steps)
                seconds[loop].append(time.perf_counter() - started)
        device = _device_name()
    images = part.batch_size * FLAGS.steps
    rows = [
        Row(
            part.architecture,
            loop,
            first_seconds.get(loop, 0.0),
            tuple(seconds[loop]),
            images,
            problems.get(loop, ""),
        )
        for loop in loops
    ]
    title = f"{device}, batch {part.batch_size}, {part.image_size_px} px"
    return {"device": title, "rows": [_json(row) for row in rows]}


def _start(part: Part, loop: Loop, stack: contextlib.ExitStack) -> Callable[[int], None]:
    """A function that takes so many steps."""
    import keras
    import tensorflow as tf

    from benchmarks import one_batch
    from trainer.runtime import HardwareOptions, connect, set_precision

    tf.constant(0.0)  # Its devices are TensorFlow's to keep, whatever jax takes.
    set_precision(loop.policy)
    network = one_batch.random_network(part.architecture, part.image_size_px)
    batch = one_batch.random_batch(part.batch_size, part.image_size_px)
    if loop.runtime == FIT:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        network.compile(optimizer=one_batch.sgd(), loss=loss)
        pairs = tf.data.Dataset.from_tensors((batch["image"], batch["target"])).repeat()
        pairs = pairs.prefetch(2)
        return lambda steps: network.fit(pairs, steps_per_epoch=steps, epochs=1, verbose=0)
    return one_batch.our_steps(
        network,
        batch,
        # On the CPU alone jax has a device of its own for each replica.
        connect(HardwareOptions(runtime=loop.runtime, replicas=1)),
        stack,
        steps_per_call=FLAGS.steps,
        jit_compile=loop.runtime == TENSORFLOW and loop.xla == "yes",
    )


def _device_name() -> str:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    return tf.config.experimental.get_device_details(gpus[0])["device_name"]


def table(device: str, rows: list[Row]) -> str:
    """Markdown: rates, and how often Keras fit's rate of the same precision and network."""
    fits = {(row.architecture, row.loop.precision): row for row in rows if row.loop.runtime == FIT}
    lines = [
        f"{device or 'nothing measured'}; images/s: median (least to most) of rounds",
        "",
        "| network | precision | loop | XLA | images/s | times Keras fit | s to the 2nd step |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        loop = row.loop
        start = f"| {row.architecture} | {loop.precision} | {loop.runtime} | {loop.xla} |"
        if not row.round_seconds:
            lines.append(f"{start} {row.problem} | | |")
            continue
        rates = [row.round_images / seconds for seconds in row.round_seconds]
        fit = fits.get((row.architecture, loop.precision))
        ratio = ""
        if fit and fit.round_seconds:
            # Rounds of a process that was cut short may differ by one.
            pairs = zip(fit.round_seconds, row.round_seconds, strict=False)
            ratio = _spread([theirs / ours for theirs, ours in pairs], ".2f")
        lines.append(f"{start} {_spread(rates, '.0f')} | {ratio} | {row.first_seconds:.0f} |")
    return "\n".join(lines)


def _spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _write(device: str, rows: list[Row]) -> None:
    os.makedirs(FLAGS.output_dir, exist_ok=True)
    path = os.path.join(FLAGS.output_dir, "table")
    values = {
        "schema_version": 1,
        "device": device,
        "rows": [_json(row) for row in rows],
    }
    storage.write_json(f"{path}.json", values)
    storage.write_bytes(f"{path}.md", f"{table(device, rows)}\n".encode())


def _row(values: dict) -> Row:
    return Row(
        **{
            **values,
            "loop": Loop(**values["loop"]),
            "round_seconds": tuple(values["round_seconds"]),
        }
    )


def _json(value: Part | Row) -> dict:
    return dataclasses.asdict(value)


if __name__ == "__main__":
    cli.run(main)
