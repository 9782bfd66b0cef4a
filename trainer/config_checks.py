"""What the values of a TrainConfig's fields may be, each by itself and together."""

import dataclasses
import math
from typing import TYPE_CHECKING

from orchard.errors import OrchardError

if TYPE_CHECKING:
    from trainer.config import TrainConfig


# Two ways to say one thing.
EXCLUSIVE_FLAGS = (
    ("batch_size", "batch_size_per_replica"),
    ("learning_rate", "learning_rate_per_replica"),
    ("warmup_epochs", "warmup_steps"),
)


def require_choices(config: "TrainConfig") -> None:
    """Raise OrchardError for a value outside of its field's choices."""
    for f in dataclasses.fields(config):
        value, choices = getattr(config, f.name), f.metadata.get("choices")
        if choices and value not in choices:
            names = ", ".join(c for c in choices if c)
            raise OrchardError(f"--{f.name}={value} must be one of {names}")


# name: (lowest, highest); None: any.
_RANGES: dict[str, tuple[float, float | None]] = {
    "epochs": (1e-9, None),
    "batch_size": (0, None),
    "batch_size_per_replica": (0, None),
    "accumulation_steps": (1, None),
    "learning_rate": (0, None),
    "learning_rate_per_replica": (0, None),
    "start_learning_rate": (0, None),
    "end_learning_rate": (0, None),
    "momentum": (0, 1),
    "weight_decay": (0, None),
    "clip_norm": (0, None),
    "ema_momentum": (0, 0.999999),
    "warmup_epochs": (0, None),
    "warmup_steps": (0, None),
    "hold_epochs": (0, None),
    "decay_per_epoch": (1e-6, 1),
    "cycle_epochs": (1e-3, None),
    "cycle_growth": (1, None),
    "focal_gamma": (0, None),
    "label_smoothing": (0, 1),
    "soft_labels_weight": (0, 1),
    "dropout": (0, 0.99),
    "freeze_epochs": (0, None),
    "layer_decay": (1e-6, 1),
    "precise_batch_norm_images": (1, None),
    "eval_every_epochs": (1e-3, None),
    "eval_batch_size": (0, None),
    "early_stopping_evals": (0, None),
    "replicas": (0, None),
    "max_recoveries": (0, None),
    "max_loss": (0, None),
    "checkpoint_every_steps": (0, None),
    "keep_checkpoints": (1, None),
    "max_minutes": (0, None),
    "log_every_steps": (1, None),
    "steps_per_call": (0, None),
    "seed": (0, 2**32 - 1),
}


def require_ranges(config: "TrainConfig") -> None:
    """Raise OrchardError for a number out of its range, NaN and infinity included, or no path."""
    for name, (low, high) in _RANGES.items():
        value = getattr(config, name)
        if not (math.isfinite(value) and low <= value and (high is None or value <= high)):
            bounds = f"a number of at least {low}" if high is None else f"from {low} to {high}"
            raise OrchardError(f"--{name}={value} must be {bounds}")
    if not (config.dataset and config.run_dir and config.architecture):
        raise OrchardError("--dataset, --run_dir and --architecture are needed")


def require_consistent(config: "TrainConfig") -> None:
    """Raise OrchardError for flags that contradict each other, or lack one another."""
    for a, b in EXCLUSIVE_FLAGS:
        if getattr(config, a) and getattr(config, b):
            raise OrchardError(f"--{a} and --{b} say the same thing; give one of them")
    if not (config.batch_size or config.batch_size_per_replica):
        raise OrchardError("say how many images a step takes: --batch_size=64")
    if config.fold and (config.train_split or config.eval_split):
        raise OrchardError("--fold chooses the splits; drop it, or --train_split/--eval_split")
    if config.fold and config.fold != "all" and not config.fold.isdigit():
        raise OrchardError(f"--fold={config.fold} must be 0, 1, 2, ... or all")
    if config.augment.quarter_turns and config.image_size and config.height_px != config.width_px:
        raise OrchardError(
            f"--quarter_turns needs square images, not --image_size={config.image_size}; drop one"
        )
    if config.optimizer == "adam" and config.weight_decay:
        raise OrchardError("--weight_decay with --optimizer=adam is adamw; say --optimizer=adamw")
    if config.freeze_epochs and config.weights == "none":
        raise OrchardError(
            "--freeze_epochs would train a head on random features; drop it, or give --weights"
        )
