"""Checkpoints: one .npz file each, atomic, numbered, pruned, checked when read. No TensorFlow.

A file holds arrays by name and `meta`, a JSON text: step, config, history and scores. It appears
by a rename (or one upload to gs://), so that it is there whole or not at all; the zip's own
checksums tell of later damage.
"""

import io
import json
import re
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from absl import logging

from orchard import storage
from orchard.errors import OrchardError

FORMAT = "orchard-checkpoint-1"
_NAME = re.compile(r"step-(\d{9})\.npz")
_META = "meta"


@dataclass(frozen=True)
class Checkpoint:
    """A state of training.

    Attributes:
        step: steps taken.
        arrays: values by name.
        meta: JSON object: everything that is no array.
    """

    step: int
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


def checkpoints_dir(run_dir: str) -> str:
    """Where a run keeps its checkpoints."""
    return storage.join(run_dir, "checkpoints")


def save_checkpoint(run_dir: str, checkpoint: Checkpoint, keep: int) -> list[int]:
    """Write a numbered checkpoint and remove all but the last `keep`; returns the steps left."""
    path = storage.join(checkpoints_dir(run_dir), f"step-{checkpoint.step:09d}.npz")
    _write(path, checkpoint)
    there = steps(run_dir)
    for step in there[:-keep]:
        _remove(storage.join(checkpoints_dir(run_dir), f"step-{step:09d}.npz"))
    return there[-keep:]


def save_best_checkpoint(run_dir: str, checkpoint: Checkpoint) -> None:
    """Write the weights of the best evaluation so far, under its step's name.

    The previous ones stay until `prune_best`: a run that goes on from a checkpoint before this
    evaluation still needs the best one of then.
    """
    _write(_best_path(run_dir, checkpoint.step), checkpoint)


def prune_best_checkpoints(run_dir: str, best_steps: set[int]) -> None:
    """Remove every best but those of `best_steps`."""
    kept = {f"best-{step:09d}.npz" for step in best_steps}
    for name in storage.list_names(checkpoints_dir(run_dir)):
        if name.startswith("best-") and name not in kept:
            _remove(storage.join(checkpoints_dir(run_dir), name))


def load_best_checkpoint(run_dir: str, best_step: int) -> Checkpoint:
    """The weights of the best evaluation."""
    return load_checkpoint(_best_path(run_dir, best_step))


def steps(run_dir: str) -> list[int]:
    """Steps of the numbered checkpoints, in order."""
    names = storage.list_names(checkpoints_dir(run_dir))
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, names) if match)


def load_latest_checkpoint(run_dir: str) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None if there is none at all.

    A damaged one is skipped, with a warning; OrchardError if all are.
    """
    reasons = []
    for step in reversed(steps(run_dir)):
        path = storage.join(checkpoints_dir(run_dir), f"step-{step:09d}.npz")
        try:
            return load_checkpoint(path)
        except OrchardError as error:
            logging.warning("%s; going back to the one before", error)
            reasons.append(str(error))
    if reasons:
        raise OrchardError(f"{reasons[0]}; no other is left: remove them to start anew")
    return None


def load_checkpoint(path: str) -> Checkpoint:
    """Read and check one checkpoint; OrchardError if it is damaged or not ours."""
    data = storage.read_bytes(path)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(str(arrays.pop(_META)))
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OrchardError(f"checkpoint {path} is damaged or not one of ours ({reason})") from None
    if meta.get("format") != FORMAT:
        raise OrchardError(
            f"checkpoint {path} has format {meta.get('format')!r}, not {FORMAT!r}: it is another "
            "program's or version's"
        )
    return Checkpoint(meta["step"], arrays, meta)


def _write(path: str, checkpoint: Checkpoint) -> None:
    meta = {**checkpoint.meta, "format": FORMAT, "step": checkpoint.step}
    buffer = io.BytesIO()
    np.savez(buffer, **checkpoint.arrays, **{_META: np.array(json.dumps(meta))})
    try:
        storage.write_bytes(path, buffer.getvalue())
    except OrchardError as error:
        raise OrchardError(
            f"checkpoint not written: {error}; the one before is whole: make room and run the "
            "same command again"
        ) from None


def _best_path(run_dir: str, step: int) -> str:
    return storage.join(checkpoints_dir(run_dir), f"best-{step:09d}.npz")


def _remove(path: str) -> None:
    storage.remove_tree(path)
