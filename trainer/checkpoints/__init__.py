"""Checkpoints on disk, and the state that they hold."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.checkpoints.files import (
        load_best_checkpoint,
        load_latest_checkpoint,
        prune_best_checkpoints,
        save_best_checkpoint,
        save_checkpoint,
    )
    from trainer.checkpoints.state import (
        TrainState,
        evaluation_weights,
        network_arrays,
        set_network_arrays,
    )

__all__ = [
    "TrainState",
    "evaluation_weights",
    "load_best_checkpoint",
    "load_latest_checkpoint",
    "network_arrays",
    "prune_best_checkpoints",
    "save_best_checkpoint",
    "save_checkpoint",
    "set_network_arrays",
]

__getattr__, __dir__ = attach(__name__)
