"""The checkpoints of a run directory: numbered, pruned, the newest one that is whole."""

import re

from absl import logging

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    Checkpoint,
    RunDir,
    TrainingCheckpoint,
    WeightsCheckpoint,
    load_checkpoint_file,
    save_checkpoint_file,
)

_NAME = re.compile(r"step-(\d{9})\.npz")
_UNFINISHED = re.compile(r"(step|best)-\d{9}\.npz\.\d+\.tmp")


def checkpoints_dir(run_dir: str) -> str:
    """Where a run keeps its checkpoints."""
    return RunDir(run_dir).checkpoints_dir


def save_checkpoint(run_dir: str, checkpoint: TrainingCheckpoint, keep: int) -> list[int]:
    """Write a numbered checkpoint and remove all but the last `keep`; returns the steps left.

    Also removes what a process that was killed had begun to write.
    """
    folder = checkpoints_dir(run_dir)
    _write(storage.join(folder, f"step-{checkpoint.step:09d}.npz"), checkpoint)
    names = storage.list_names(folder)
    there = _steps(names)
    removed = [f"step-{step:09d}.npz" for step in there[:-keep]]
    for name in removed + [name for name in names if _UNFINISHED.fullmatch(name)]:
        storage.remove_tree(storage.join(folder, name))
    return there[-keep:]


def save_best_checkpoint(run_dir: str, checkpoint: WeightsCheckpoint) -> None:
    """Write the weights of the best evaluation so far, under its step's name.

    The previous ones stay until `prune_best_checkpoints`: a run that goes on from a checkpoint
    before this evaluation still needs the best one of then.
    """
    _write(_best_path(run_dir, checkpoint.step), checkpoint)


def prune_best_checkpoints(run_dir: str, best_steps: set[int]) -> None:
    """Remove every best but those of `best_steps`."""
    kept = {f"best-{step:09d}.npz" for step in best_steps}
    for name in storage.list_names(checkpoints_dir(run_dir)):
        if name.startswith("best-") and name not in kept:
            storage.remove_tree(storage.join(checkpoints_dir(run_dir), name))


def load_best_checkpoint(run_dir: str, best_step: int) -> WeightsCheckpoint:
    """The weights of the best evaluation."""
    path = _best_path(run_dir, best_step)
    checkpoint = load_checkpoint_file(path)
    if not isinstance(checkpoint, WeightsCheckpoint):
        raise OrchardError(f"checkpoint {path} is no best one: it holds the state of a training")
    return checkpoint


def steps(run_dir: str) -> list[int]:
    """Steps of the numbered checkpoints, in order."""
    return _steps(storage.list_names(checkpoints_dir(run_dir)))


def _steps(names: list[str]) -> list[int]:
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, names) if match)


def load_latest_checkpoint(run_dir: str) -> TrainingCheckpoint | None:
    """The newest checkpoint that is whole, or None if there is none at all.

    A damaged one is skipped, with a warning; OrchardError if all are.
    """
    reasons = []
    for step in reversed(steps(run_dir)):
        path = storage.join(checkpoints_dir(run_dir), f"step-{step:09d}.npz")
        try:
            return _load_training(path)
        except OrchardError as error:
            logging.warning("%s; going back to the one before", error)
            reasons.append(str(error))
    if reasons:
        raise OrchardError(f"{reasons[0]}; no other is left: remove them to start anew")
    return None


def _write(path: str, checkpoint: Checkpoint) -> None:
    try:
        save_checkpoint_file(path, checkpoint)
    except OrchardError as error:
        raise OrchardError(
            f"checkpoint not written: {error}; those written before are whole: make room and run "
            "the same command again"
        ) from None


def _load_training(path: str) -> TrainingCheckpoint:
    checkpoint = load_checkpoint_file(path)
    if not isinstance(checkpoint, TrainingCheckpoint):
        raise OrchardError(f"checkpoint {path} holds weights alone, not the state of a training")
    return checkpoint


def _best_path(run_dir: str, step: int) -> str:
    return storage.join(checkpoints_dir(run_dir), f"best-{step:09d}.npz")
