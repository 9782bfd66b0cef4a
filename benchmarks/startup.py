"""From a command to its first finished step: CPU-seconds by stage, ours, Keras fit and a bare step.

    python -m benchmarks.startup --architectures=mobilenet,densenet121,efficientnet_b0
    python -m benchmarks.startup --commands

Each start is a process of its own; contenders alternate. All train the same network of
keras.applications with AdamW at 64 px, 32 images a step. The bare step is one `tf.function` on a
batch in memory, Keras fit gets batches of `tf.data` from memory, and ours reads a dataset of
shards as `trainer.main` does. Ratios are medians over rounds of two neighbors.

CPU-seconds are those of all threads and of child processes; wall-clock time would say how busy the
machine is. --commands measures commands that train nothing.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from absl import flags

from benchmarks.photos import NUM_CLASSES, write_photos
from benchmarks.ratios import Better, report
from orchard import cli
from orchard.errors import OrchardError

_ARCHITECTURES = flags.DEFINE_list(
    "architectures", ["mobilenet", "densenet121", "efficientnet_b0"], "To measure."
)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 64, "Side in px.")
_ROUNDS = flags.DEFINE_integer("rounds", 1, "Starts of each contender.")
_COMMANDS = flags.DEFINE_bool("commands", False, "Measure help, preparation and ensemble instead.")

OURS, KERAS, BARE = "ours", "Keras fit", "bare step"
_STAGES = ("imports", "network and data", "tracing", "optimizing", "step")
_BATCH_SIZE = 32
_CLASS_OF = {
    "mobilenet": "MobileNet",
    "densenet121": "DenseNet121",
    "efficientnet_b0": "EfficientNetB0",
}


def main() -> None:
    """Measure and print the tables."""
    unknown = [name for name in _ARCHITECTURES.value if name not in _CLASS_OF]
    if unknown:
        raise OrchardError(f"--architectures: {unknown[0]} is none of {', '.join(_CLASS_OF)}")
    with tempfile.TemporaryDirectory() as folder:
        if _COMMANDS.value:
            _print_commands(folder)
            return
        dataset = _prepared(folder, 200)
        for architecture in _ARCHITECTURES.value:
            _print_starts(architecture, dataset, folder)


class _Clock:
    """CPU-seconds of this process up to the end of each stage, printed as JSON at the end."""

    def __init__(self) -> None:
        self._marks: dict[str, float] = {}

    def end(self, stage: str) -> None:
        self._marks[stage] = sum(os.times()[:4])

    def report(self) -> None:
        print(json.dumps(self._marks))


def start_ours(architecture: str, size: int, dataset: str, run_dir: str) -> None:
    """What `trainer.main` does until its second step is done."""
    from orchard import tensorflow_start

    clock = _Clock()
    tensorflow_start.prepare()
    import tensorflow as tf

    from trainer import TrainConfig, loop  # noqa: F401  All that a training imports.
    from trainer.runtime import connect_to_train
    from trainer.training import prepare

    clock.end("imports")
    config = TrainConfig(
        dataset=dataset,
        run_dir=run_dir,
        architecture=architecture,
        image_size=str(size),
        weights="none",
        batch_size=_BATCH_SIZE,
        epochs=2,
        optimizer="adamw",
    )
    run = prepare(config, connect_to_train(config))
    batches = run.feed.train_batches(0, run.plan.total_steps)
    step = run.make_step()
    clock.end("network and data")
    rates = np.full(1, 1e-3, np.float32)
    step._loop.get_concrete_function(batches, tf.constant(rates), tf.constant(1))
    clock.end("tracing")
    step.run(batches, rates)
    clock.end("first")
    step.run(batches, rates)
    clock.end("second")
    clock.report()


def start_bare(architecture: str, size: int) -> None:
    """The step as one function, without anything around it."""
    clock = _Clock()
    import keras
    import tensorflow as tf

    clock.end("imports")
    network, images, targets = _network_and_batch(architecture, size)
    optimizer = keras.optimizers.AdamW(1e-3)
    optimizer.build(network.trainable_variables)
    loss_of = keras.losses.CategoricalCrossentropy(from_logits=True)
    batch = tf.constant(images), tf.constant(targets)
    clock.end("network and data")

    @tf.function(autograph=False)
    def step(images: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(targets, network(images, training=True))
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return loss

    step.get_concrete_function(*batch)
    clock.end("tracing")
    for stage in ("first", "second"):
        float(step(*batch))
        clock.end(stage)
    clock.report()


def start_keras(architecture: str, size: int) -> None:
    """`compile` and `fit`; its tracing and the optimization of its graph are one stage."""
    clock = _Clock()
    import keras
    import tensorflow as tf

    clock.end("imports")
    network, images, targets = _network_and_batch(architecture, size)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.AdamW(1e-3), loss, jit_compile=False)
    batches = tf.data.Dataset.from_tensors((images, targets)).repeat(2)
    clock.end("network and data")
    stages = iter(("first", "second"))
    network.fit(
        batches,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: clock.end(next(stages))
            )
        ],
    )
    clock.report()


def _network_and_batch(architecture: str, size: int):
    import keras

    network = getattr(keras.applications, _CLASS_OF[architecture])(
        weights=None,
        input_shape=(size, size, 3),
        classes=NUM_CLASSES,
        classifier_activation=None,
    )
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (_BATCH_SIZE, size, size, 3)).astype(np.float32)
    return network, images, np.eye(NUM_CLASSES, dtype=np.float32)[np.arange(_BATCH_SIZE) % 4]


def start_members(*folders: str) -> None:
    """Load members and trace them on one batch: the least that an ensemble can do."""
    import tensorflow as tf

    loaded = [tf.saved_model.load(folder) for folder in folders]

    @tf.function(autograph=False)
    def together(images: tf.Tensor) -> tf.Tensor:
        return tf.stack([one.signatures["images"](images=images)["logits"] for one in loaded])

    print(float(together(tf.zeros((_BATCH_SIZE, 28, 28, 3), tf.uint8))[0, 0, 0]))


def _print_starts(architecture: str, dataset: str, folder: str) -> None:
    size = _IMAGE_SIZE.value
    calls = {
        OURS: f"start_ours({architecture!r}, {size}, {dataset!r}, {folder + '/run'!r})",
        KERAS: f"start_keras({architecture!r}, {size})",
        BARE: f"start_bare({architecture!r}, {size})",
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    for _ in range(_ROUNDS.value):
        for name, call in calls.items():
            found[name].append(_stages(json.loads(_output(call).splitlines()[-1])))
    title = f"{architecture}, {size}x{size} px, {_BATCH_SIZE} images a step"
    for name in (KERAS, BARE):
        report(
            f"{title}: CPU-seconds from a command to its first step",
            name,
            ("keras", "tensorflow"),
            Better.LESS,
            ours=[sum(one.values()) for one in found[OURS]],
            theirs=[sum(one.values()) for one in found[name]],
        )
    print(f"\n{title}\n")
    print(f"| CPU-s | {' | '.join(_STAGES)} | in all | ours / it |")
    print("|---" * (len(_STAGES) + 3) + "|")
    for name, rounds in found.items():
        cells = [_median([one[stage] for one in rounds if stage in one]) for stage in _STAGES]
        totals = [sum(one.values()) for one in rounds]
        ratios = [sum(one.values()) / total for one, total in zip(found[OURS], totals, strict=True)]
        ratio = statistics.median(ratios)
        print(f"| {name} | {' | '.join(cells)} | {_median(totals)} | {ratio:.2f} |")


def _stages(marks: dict[str, float]) -> dict[str, float]:
    """CPU-seconds of each stage; a later step tells the first one from what came before it."""
    step = marks["second"] - marks["first"]
    before = marks.get("tracing", marks["network and data"])
    stages = {
        "imports": marks["imports"],
        "network and data": marks["network and data"] - marks["imports"],
        "optimizing": marks["first"] - before - step,
        "step": step,
    }
    if "tracing" in marks:
        stages["tracing"] = marks["tracing"] - marks["network and data"]
    return stages


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.1f}" if values else ""


def _print_commands(folder: str) -> None:
    print("\n| command | CPU-s |\n|---|---|")
    for module in ("data_prep.main", "trainer.main", "trainer.preflight", "ensemble.main"):
        for argument in ("--help", "--no_such_flag=1"):
            seconds = _command_seconds([module, argument], fails=argument != "--help")
            print(f"| `{module} {argument}` | {seconds:.2f} |")
    made: list[float] = []
    dataset = _prepared(folder, 20, made)
    print(f"| `data_prep.main`, 20 photos | {made[0]:.2f} |")
    members = []
    for seed in range(3):
        members.append(f"{folder}/member{seed}")
        flags_of_it = ("architecture=vgg_small", "image_size=28", "weights=none", "batch_size=4")
        command = ["trainer.main", *(f"--{one}" for one in flags_of_it), f"--seed={seed}"]
        command += [f"--dataset={dataset}", f"--run_dir={members[-1]}", "--epochs=1"]
        _command_seconds([*command, "--noprogress"])
    ensemble = _command_seconds(
        ["ensemble.main", f"--members={','.join(members)}", f"--dataset={dataset}"]
        + ["--split=eval", f"--output_dir={folder}/ensemble"]
    )
    before = _children_seconds()
    _output("start_members(" + ", ".join(repr(f"{one}/saved_model") for one in members) + ")")
    alone = _children_seconds() - before
    print(f"| `ensemble.main`, three members | {ensemble:.2f} |")
    print(f"| loading and tracing them alone | {alone:.2f} |")


def _prepared(folder: str, count: int, seconds: list[float] | None = None) -> str:
    """A dataset of so many photos of noise; appends what its command took."""
    place = os.path.join(folder, f"photos{count}")
    csv, images = write_photos(place, count, (480, 640), (12, 16), quality=75)
    took = _command_seconds(
        ["data_prep.main", f"--csv={csv}", f"--images_dir={images}", "--name=photos"]
        + ["--version=1.0.0", f"--data_dir={folder}/data{count}", "--eval_fraction=0.2"]
    )
    if seconds is not None:
        seconds.append(took)
    return f"{folder}/data{count}/photos/1.0.0"


def _command_seconds(arguments: list[str], fails: bool = False) -> float:
    before = _children_seconds()
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True)
    if bool(done.returncode) != fails:
        raise OrchardError(f"{arguments[0]} exited with {done.returncode}: {done.stderr[-500:]}")
    return _children_seconds() - before


def _output(call: str) -> str:
    """What a function of this module prints in a process of its own, which is no command."""
    program = f"from benchmarks import startup; startup.{call}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode:
        raise OrchardError(f"{call} failed: {done.stderr[-500:]}")
    return done.stdout


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    cli.run(main)
