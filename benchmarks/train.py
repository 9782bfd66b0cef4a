"""What a training costs beside its network: the loop, evaluations and checkpoints.

    python -m benchmarks.train --cases=vgg_small:28:32,mobilenet:64:32,mobilenet:224:8

For each case (an architecture, a side in px and images a step), in one process, in turn, round
after round; a ratio is the median over rounds of two neighbors, by the wall and in CPU-seconds of
the process:

* Steps of AdamW: a bare compiled step on a batch in memory; the trainer's step on the same batch;
  the trainer's loop on batches from shards, with all that it logs; the pipeline alone; Keras `fit`.
* An evaluation from shards, scores included, and the compiled forward passes alone.
* How long a checkpoint holds the loop, written in the loop and beside it.

Everything runs on the same cores here, so that the pipeline's work is taken from the step's. With
--step_threads=1 the step has one thread, as if it ran on a device: that is, on two idle cores, a
loop whose pipeline has a core of its own. On a GPU: --precision=mixed_bfloat16 [--jit_compile].
"""

import functools
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks.photos import write_photos
from benchmarks.ratios import Better, report
from orchard import cli
from orchard.errors import OrchardError
from trainer.augment import AugmentOptions
from trainer.checkpoints import CheckpointWriter, save_checkpoint
from trainer.config import TrainConfig
from trainer.data import eval_batches
from trainer.runtime import Accelerator, StopRequests, connect_to_train
from trainer.training import Reporter, Run, Trainer, prepare, read_metrics, resume_run

_CASES = flags.DEFINE_list(
    "cases",
    ["vgg_small:28:32", "mobilenet:64:32", "mobilenet:224:8"],
    "ARCHITECTURE:PX:IMAGES_A_STEP, to measure.",
)
_ONLY = flags.DEFINE_list("only", ["loop", "evaluation", "checkpoints"], "What to measure.")
_PRECISION = flags.DEFINE_string("precision", "float32", "float32 or mixed_bfloat16.")
_JIT_COMPILE = flags.DEFINE_bool("jit_compile", False, "Compile with XLA.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Rounds of each.")
_SECONDS = flags.DEFINE_float("seconds", 2.0, "Length of a turn.")
_KERAS = flags.DEFINE_bool("keras", True, "Also measure Keras fit.")
_STEP_THREADS = flags.DEFINE_integer("step_threads", 0, "Threads of TensorFlow's ops; 0: all.")

# Images are a third larger than the network sees them, as prepared photos are.
_PHOTO_SCALE = 4 / 3
_PIXELS = 48_000_000  # Of all images together.
_SETTLE_SECONDS = 0.3
_CHECKPOINT_SECONDS = 60  # One a minute.


class Cost(NamedTuple):
    """What something took: by the wall, and of this process's CPUs."""

    wall: float
    cpu: float


def main() -> None:
    """Measure and print the tables."""
    if _STEP_THREADS.value:
        tf.config.threading.set_intra_op_parallelism_threads(_STEP_THREADS.value)
        tf.config.threading.set_inter_op_parallelism_threads(_STEP_THREADS.value)
    load = os.getloadavg()[0]
    print(f"{_title()}; load of the machine before: {load:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for case in _CASES.value:
            try:
                architecture, size, batch_size = case.rsplit(":", 2)
                numbers = int(size), int(batch_size)
            except ValueError:
                raise OrchardError(f"--cases: {case} is not ARCHITECTURE:PX:IMAGES") from None
            dataset = _prepared(os.path.join(folder, size), numbers[0])
            run_dir = os.path.join(folder, case.replace(":", "_"))
            _measure(case, _config(dataset, run_dir, architecture, *numbers))


def _measure(case: str, config: TrainConfig) -> None:
    run = prepare(config, connect_to_train(config))
    resume_run(run)
    images = f"{len(run.train_records)} + {len(run.eval_records)} images"
    print(f"\n**{case}**, {config.batch_size} images a step, {images}\n")
    if "loop" in _ONLY.value:
        steps = _steps(run)
        with Reporter(config.run_dir, 0, 1, chief=True, bar=False) as reporter:
            contenders = _loops(run, reporter)
            costs = _rounds(contenders, steps)
        _print_loops(case, costs, steps, run.plan.batch_size)
        logged = [line.get("data_wait_share") for line in read_metrics(config.run_dir)]
        waits = [share for share in logged if share is not None]
        print(f"ours from shards waits for data in {statistics.mean(waits):.2%} of its time")
    if "evaluation" in _ONLY.value:
        _print_evaluation(case, run)
    if "checkpoints" in _ONLY.value:
        with Reporter(config.run_dir, 0, 1, chief=True, bar=False) as reporter:
            _print_checkpoints(run, reporter)


def _steps(run: Run) -> int:
    """Steps of a turn, by what a bare one takes."""
    step = bare_step(run)
    step(2)
    began = time.perf_counter()
    step(3)
    # At least twice what the pipeline holds in its buffers, which are full when a turn begins.
    return max(12, round(3 * _SECONDS.value / (time.perf_counter() - began)))


def _rounds(contenders: dict[str, Callable[[int], None]], steps: int) -> dict[str, list[Cost]]:
    for run in contenders.values():
        run(2)  # Trace and compile, fill buffers.
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for _ in range(_ROUNDS.value):
        for name, run in contenders.items():
            costs[name].append(_cost(functools.partial(run, steps)))
    return costs


def _cost(run: Callable[[], object]) -> Cost:
    time.sleep(_SETTLE_SECONDS)  # What runs ahead in threads has come to its end.
    began, cpu_began = time.perf_counter(), time.process_time()
    run()
    wall = time.perf_counter() - began
    time.sleep(_SETTLE_SECONDS)  # Refilling its buffers is part of its work.
    return Cost(wall, time.process_time() - cpu_began)


def _loops(run: Run, reporter: Reporter) -> dict[str, Callable[[int], None]]:
    contenders = {
        "bare step": bare_step(run),
        "ours, the batch in memory": step_in_memory(run),
        "ours, from shards": our_loop(run, reporter),
        "the pipeline alone": pipeline(run),
    }
    if _KERAS.value:
        contenders["Keras fit"] = keras_fit(run)
    return contenders


def bare_step(run: Run) -> Callable[[int], None]:
    """The least there can be: one compiled function of one batch, called in a Python loop."""
    copy = _copy(run)
    network, optimizer = copy.network, copy.optimizer
    batch = _batch(run)
    images, targets = batch["image"], batch["target"]
    values = [variable.value for variable in network.trainable_variables]

    @tf.function(jit_compile=_JIT_COMPILE.value, autograph=False)
    def step():
        with tf.GradientTape() as tape:
            logits = network(tf.cast(images, tf.float32), training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, values), network.trainable_variables)
        return loss

    def steps(count: int) -> None:
        for _ in range(count):
            loss = step()
        loss.numpy()

    return steps


def step_in_memory(run: Run) -> Callable[[int], None]:
    """The trainer's step, a call each, on batches in memory."""
    copy = _copy(run)
    step = copy.make_step()
    iterator = iter(tf.data.Dataset.from_tensors(_batch(run)).repeat())
    rates = np.full(step.options.steps_per_call, 1e-3, np.float32)

    def steps(count: int) -> None:
        with step.holding_state():
            for _ in range(count):
                step.run(iterator, rates[:1])

    return steps


def our_loop(run: Run, reporter: Reporter) -> Callable[[int], None]:
    """The trainer's own loop, from shards."""
    trainer = Trainer(run, _nothing_stops(run.accelerator), reporter)

    def steps(count: int) -> None:
        trainer.train(run.state.progress.step + count)

    return steps


def pipeline(run: Run) -> Callable[[int], None]:
    """The batches of `our_loop`, without a step."""
    batches = run.feed.train_batches(0, run.plan.total_steps)

    def steps(count: int) -> None:
        for _ in range(count):
            next(batches)

    return steps


def keras_fit(run: Run) -> Callable[[int], None]:
    """`Model.fit` as its users write it, on batches in memory."""
    network, optimizer = _copy(run).network, keras.optimizers.AdamW(1e-3)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    network.compile(optimizer=optimizer, loss=loss, jit_compile=_JIT_COMPILE.value)
    batch = _batch(run)
    dataset = tf.data.Dataset.from_tensors((batch["image"], batch["target"])).repeat().prefetch(2)

    def steps(count: int) -> None:
        network.fit(dataset, steps_per_epoch=count, epochs=1, verbose=0)

    return steps


def _print_loops(case: str, costs: dict[str, list[Cost]], steps: int, batch_size: int) -> None:
    print("| steps | images/s | bare / it, by the wall | CPU-ms a step | bare / it, CPU |")
    print("|---|---|---|---|---|")
    bare, ours = costs["bare step"], costs["ours, from shards"]
    for name in ("bare step", "Keras fit"):
        if name in costs:
            what = f"{case}: CPU-seconds of a step from shards"
            _report(what, f"{name}, the batch in memory", ours, costs[name])
    for name, values in costs.items():
        rate = batch_size * steps / statistics.median(value.wall for value in values)
        cpu = 1e3 * statistics.median(value.cpu for value in values) / steps
        wall_ratio = _ratio([b.wall / v.wall for b, v in zip(bare, values, strict=True)])
        cpu_ratio = _ratio([b.cpu / v.cpu for b, v in zip(bare, values, strict=True)])
        print(f"| {name} | {rate:.1f} | {wall_ratio} | {cpu:.2f} | {cpu_ratio} |")
    together = [
        (b.cpu + p.cpu) / o.cpu
        for b, p, o in zip(bare, costs["the pipeline alone"], ours, strict=True)
    ]
    print(f"\nCPU of the bare step and the pipeline alone, of ours from shards: {_ratio(together)}")


def _print_evaluation(case: str, run: Run) -> None:
    evaluation, records = run.evaluation, run.eval_records
    assert evaluation is not None and records is not None

    def host_batches(num_hosts: int, host: int) -> tf.data.Dataset:
        share = {"num_hosts": num_hosts, "host": host}
        size = run.plan.eval_batch_size
        return eval_batches(records, run.feed.input_options, batch_size=size, **share)

    batches = run.accelerator.runtime.passes(host_batches, evaluation.num_batches)
    images = _batch(run)["image"]

    @tf.function(autograph=False)
    def forward(images: tf.Tensor) -> tf.Tensor:
        return run.network(tf.cast(images, tf.float32), training=False)

    def forward_passes() -> None:
        for _ in range(evaluation.num_batches):
            forward(images).numpy()

    def evaluate() -> None:
        assert evaluation.scores(lambda: True) is not None

    def read() -> None:
        for _ in batches:
            pass

    contenders: dict[str, Callable[[int], None]] = {
        "forward passes alone": lambda _: forward_passes(),
        "evaluation": lambda _: evaluate(),
        "the pipeline alone": lambda _: read(),
    }
    costs = _rounds(contenders, steps=1)
    print(f"\n| {len(records)} images | s | forward / it | CPU-s | forward / it |")
    print("|---|---|---|---|---|")
    pure = costs["forward passes alone"]
    what = f"{case}: CPU-seconds of an evaluation from shards"
    _report(what, "forward passes, the batch in memory", costs["evaluation"], pure)
    for name, values in costs.items():
        wall, cpu = (statistics.median(column) for column in zip(*values, strict=True))
        wall_ratio = _ratio([p.wall / v.wall for p, v in zip(pure, values, strict=True)])
        cpu_ratio = _ratio([p.cpu / v.cpu for p, v in zip(pure, values, strict=True)])
        print(f"| {name} | {wall:.3f} | {wall_ratio} | {cpu:.3f} | {cpu_ratio} |")


def _print_checkpoints(run: Run, reporter: Reporter) -> None:
    """Time that the loop is held: written before it goes on, or copied and handed to a thread."""
    run_dir, keep = run.config.run_dir, run.config.keep_checkpoints
    megabytes = sum(array.nbytes for array in run.state.arrays().values()) / 1e6

    def in_the_loop() -> None:
        reporter.flush()
        save_checkpoint(run_dir, run.checkpoint(), keep)

    costs: dict[str, list[Cost]] = {"in the loop": [], "beside it": []}
    with CheckpointWriter(_nothing_stops(run.accelerator)) as writer:

        def beside() -> None:
            reporter.flush()
            write = functools.partial(save_checkpoint, run_dir, run.checkpoint(), keep)
            writer.begin(run.state.progress.step, write)

        for _ in range(_ROUNDS.value):
            costs["in the loop"].append(_cost(in_the_loop))
            costs["beside it"].append(_cost(beside))
            writer.wait()
    print(f"\n| a checkpoint of {megabytes:.1f} MB, written | holds the loop, ms | one a minute |")
    print("|---|---|---|")
    for name, values in costs.items():
        held = [value.wall for value in values]
        share = statistics.median(held) / _CHECKPOINT_SECONDS
        spread = f"{1e3 * min(held):.1f} to {1e3 * max(held):.1f}"
        print(f"| {name} | {1e3 * statistics.median(held):.1f} ({spread}) | {share:.2%} |")


def _report(what: str, peer: str, ours: list[Cost], theirs: list[Cost]) -> None:
    report(
        what,
        peer,
        ("keras", "tensorflow"),
        Better.LESS,
        ours=[cost.cpu for cost in ours],
        theirs=[cost.cpu for cost in theirs],
    )


def _ratio(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _nothing_stops(accelerator: Accelerator) -> StopRequests:
    return StopRequests(math.inf, accelerator)


def _copy(run: Run) -> Run:
    """The same training from its start, with variables of its own."""
    return prepare(run.config, run.accelerator)


def _batch(run: Run) -> dict[str, tf.Tensor]:
    return next(run.feed.train_batches(0, 1))


def _config(
    dataset: str, run_dir: str, architecture: str, size: int, batch_size: int
) -> TrainConfig:
    return TrainConfig(
        dataset=dataset,
        run_dir=run_dir,
        architecture=architecture,
        image_size=str(size),
        weights="none",
        batch_size=batch_size,
        epochs=100_000,
        eval_every_epochs=100_000,
        precision=_PRECISION.value,
        jit_compile=_JIT_COMPILE.value,
        progress=False,
        watch_preemption=False,
        augment=AugmentOptions.only(),  # As the bare step.
    )


def _prepared(folder: str, size: int) -> str:
    """A dataset of JPEGs with the texture of photos, half of them to evaluate on."""
    side = round(size * _PHOTO_SCALE)
    count = min(4000, max(128, _PIXELS // side**2 // 8))
    dataset = os.path.join(folder, "photos", "1.0.0")
    if os.path.exists(dataset):  # Of another case.
        return dataset
    csv, images = write_photos(folder, count, (side, side), (max(2, side // 8),) * 2)
    command = [sys.executable, "-m", "data_prep.main", f"--csv={csv}", f"--images_dir={images}"]
    command += ["--name=photos", "--version=1.0.0", f"--data_dir={folder}", "--eval_fraction=0.5"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OrchardError(f"data_prep exited with {done.returncode}: {done.stderr[-500:]}")
    return dataset


def _title() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    name = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "CPU"
    threads = f", {_STEP_THREADS.value} thread(s) a step" if _STEP_THREADS.value else ""
    return (
        f"{_PRECISION.value}{', XLA' if _JIT_COMPILE.value else ''}, {name}{threads}, "
        f"TF {tf.__version__}"
    )


if __name__ == "__main__":
    cli.run(main)
