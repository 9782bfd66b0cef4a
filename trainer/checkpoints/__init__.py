"""Checkpoints on disk, and the state that they hold.

`state` copies a training's variables into arrays, `files` writes these and finds them again, and
`writer` has that done by a thread while the training goes on.
"""

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
    from trainer.checkpoints.writer import CheckpointWriter

__all__ = [
    "CheckpointWriter",
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
