"""A tiny network, a tiny dataset and the flags to train one on the other within seconds."""

import os
import signal
import subprocess
import sys

import numpy as np

from tests.trainer.datasets import jpeg, write_dataset
from trainer.config import TrainConfig

NUM_CLASSES = 3


def tiny_dataset(directory, count: int = 54, folds: int = 3, size: int = 16) -> str:
    """Noisy images whose brightest channel is the label, in `folds` splits of equal size."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % NUM_CLASSES
    images = []
    for label in labels:
        pixels = rng.integers(0, 120, (size, size, 3))
        pixels[:, :, label] += 60
        images.append(jpeg(pixels.astype(np.uint8)))
    splits = {f"fold{k}": [i for i in range(count) if i // 3 % folds == k] for k in range(folds)}
    return write_dataset(directory, images, labels, splits=splits, num_classes=NUM_CLASSES)


def tiny_backbone(path, dropout: float = 0.2, batch_norm: bool = True) -> str:
    """A convolutional classifier with dropout, BatchNorm and its own scaling, as a .keras file."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, strides=2, use_bias=not batch_norm)(x)
        if batch_norm:
            x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    if dropout:
        x = layers.Dropout(dropout)(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(5, activation="softmax")(x)
    keras.Model(inputs, outputs).save(str(path))
    return str(path)


def config(dataset: str, backbone: str, run_dir, **changes) -> TrainConfig:
    """Flags for four epochs of the tiny network on folds 1 and 2, evaluated on fold 0."""
    flags = {
        "dataset": str(dataset),
        "run_dir": str(run_dir),
        "fold": "0",
        "architecture": str(backbone),
        "image_size": "16" if str(backbone).endswith(".keras") else "32",
        "weights": "none",
        "batch_size": 8,
        "epochs": 4,
        "learning_rate": 0.01,
        "eval_every_epochs": 2,
        "log_every_steps": 3,
        "progress": False,
        "watch_preemption": False,
    }
    return TrainConfig(**{**flags, **changes})


def command(config: TrainConfig) -> list[str]:
    """The command line of a config: only what differs from the defaults."""
    values = config.flags()
    changed = [
        f"--{flag.name}={values[flag.name]}"
        for flag in TrainConfig.flag_fields()
        if values[flag.name] != flag.default
    ]
    return [sys.executable, "-m", "trainer.main", *changed]


def start(
    config: TrainConfig, die_after_step: int | str | None = None, **environment: str
) -> subprocess.Popen:
    """The command in a process of its own; stdout and stderr come together."""
    arguments = command(config)
    if die_after_step is not None:
        program, flags = arguments[:2], arguments[3:]
        arguments = [*program, "tests.trainer.dying", str(die_after_step), *flags]
    return subprocess.Popen(
        arguments,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell that runs the tests in the background has SIGINT ignored, and a child inherits it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def outcome(run_dir) -> dict[str, object]:
    """What must be the same, bit for bit, however often the run was killed."""
    from orchard.formats.logits import load_logits
    from trainer.checkpoints import files
    from trainer.training.progress import read_metrics

    last = files.load_latest_checkpoint(str(run_dir))
    best = files.load_best_checkpoint(str(run_dir), last.meta.progress.best_step)
    timings = {"images_per_second", "data_wait_share", "compile_seconds", "seconds"}
    lines = [
        {key: value for key, value in line.items() if key not in timings}
        for line in read_metrics(str(run_dir))
        if line["kind"] != "event"
    ]
    return {
        "weights": {name: array.tobytes() for name, array in last.arrays.items()},
        "best": {name: array.tobytes() for name, array in best.arrays.items()},
        "progress": last.meta.progress,
        "metrics": lines,
        "logits": load_logits(
            os.path.join(str(run_dir), "eval_logits", "fold0.npz")
        ).logits.tobytes(),
    }


def differences(a: dict, b: dict) -> list[str]:
    """Names of the parts of two outcomes that differ."""
    found = [key for key in a if a[key] != b[key] and not isinstance(a[key], dict)]
    for key in ("weights", "best"):
        found += [f"{key}/{name}" for name in a[key] if a[key][name] != b[key].get(name)]
    return found + ([] if a["progress"] == b["progress"] else ["progress"])
