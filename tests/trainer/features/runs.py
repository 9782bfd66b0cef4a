"""Frozen runs of the tiny network, in seconds."""

from tests.trainer import runs
from trainer.config import TrainConfig
from trainer.heads import FROZEN

_STEP_FLAGS = {"epochs", "learning_rate", "eval_every_epochs", "log_every_steps", "weights"}


def config(dataset: str, backbone: str, run_dir, **changes) -> TrainConfig:
    """A linear head on the tiny network; evaluated on fold 0 where nothing else is said."""
    usual = {name: getattr(_DEFAULTS, name) for name in _STEP_FLAGS}
    return runs.config(dataset, backbone, run_dir, **{**usual, "features": FROZEN, **changes})


_DEFAULTS = TrainConfig(dataset="d", run_dir="r", architecture="mobilenet_v2")
