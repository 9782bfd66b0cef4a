"""Checkpoints: the state of a training, or the weights that one of its evaluations scored.

A file holds arrays by name and, as the array `meta`, a JSON text with all that is no array. It
appears whole or not at all; the zip's own checksums tell of later damage.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orchard import json_text
from orchard.errors import OrchardError
from orchard.formats import npz
from orchard.formats.cost import ComputeTime
from orchard.formats.head import SolvedHead
from orchard.formats.json_record import parse
from orchard.formats.kinds import Task, TextEnum

FORMAT = "orchard-checkpoint-1"
EVAL_LOGITS = "eval_logits"  # The array with the logits of all evaluation records, in order.
_META = "meta"
_KIND = "checkpoint of ours"
_REMEDY = "take another, or train again"


class CheckpointKind(TextEnum):
    """What a checkpoint holds."""

    TRAINING = "training"
    WEIGHTS = "weights"


@dataclass(frozen=True)
class TrainedDataset:
    """What a training remembers of its dataset.

    Attributes:
        name: of the dataset.
        version: of the dataset, X.Y.Z.
        fingerprint: what the dataset is, hex.
        class_names: the classes, in the targets' order.
        task: what the labels mean.
    """

    name: str
    version: str
    fingerprint: str
    class_names: tuple[str, ...]
    task: Task


@dataclass(frozen=True)
class Resolved:
    """What the flags of a training came to, by the names of the flags; compared on resume.

    Attributes:
        train_split: splits to train on, joined by +.
        eval_split: splits to evaluate on, or "none".
        batch_size: images a step, over all replicas.
        eval_batch_size: images an evaluation step, over all replicas.
        learning_rate: at the schedule's peak.
        warmup_steps: before the peak.
        total_steps: of the whole training.
        image_size: HEIGHTxWIDTH in px.
        precision: of the computation.
        best_metric: the metric that selects the best weights.
        order: in which records are read.
    """

    train_split: str
    eval_split: str
    batch_size: int
    eval_batch_size: int
    learning_rate: float
    warmup_steps: float
    total_steps: int
    image_size: str
    precision: str
    best_metric: str
    order: str


@dataclass
class TrainingProgress:
    """What is known of a training so far.

    Attributes:
        step: steps taken.
        best_step: step of the best evaluation; -1 before the first.
        best_score: its score by --best_metric.
        evals_since_best: evaluations since then.
        evaluations: step and scores of each evaluation.
        loss_sum: of the steps since the last logged line.
        loss_count: number of those steps.
        finished: whether training is over (length reached, or stopped early).
    """

    step: int = 0
    best_step: int = -1
    best_score: float | None = None
    evals_since_best: int = 0
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    loss_sum: float = 0.0
    loss_count: int = 0
    finished: bool = False


@dataclass(frozen=True)
class TrainingMeta:
    """What belongs to the state of a training besides its arrays.

    Attributes:
        config: the flags, as the trainer's TrainConfig writes itself.
        resolved: what they came to.
        dataset: what is trained on.
        progress: how far it is.
        time: what it has taken so far; None: not known.
        start_fingerprint: of the backbone's weights before the first step; empty: not known.
    """

    config: dict[str, Any]
    resolved: Resolved
    dataset: TrainedDataset
    progress: TrainingProgress
    time: ComputeTime | None = None
    start_fingerprint: str = ""


@dataclass(frozen=True)
class WeightsMeta:
    """What is known of evaluated weights.

    Attributes:
        scores: by metric; none without evaluation.
        head: how the head was solved on frozen features; None: it was trained.
    """

    scores: dict[str, float]
    head: SolvedHead | None = None


@dataclass(frozen=True)
class TrainingCheckpoint:
    """The whole state of a training, to go on from.

    Attributes:
        step: steps taken.
        arrays: every variable of network and optimizers, by position.
        meta: all that is no array.
    """

    step: int
    arrays: dict[str, np.ndarray]
    meta: TrainingMeta


@dataclass(frozen=True)
class WeightsCheckpoint:
    """The weights that an evaluation scored, to export.

    Attributes:
        step: steps taken.
        arrays: the network's weights, by position, and `EVAL_LOGITS`.
        meta: their scores.
    """

    step: int
    arrays: dict[str, np.ndarray]
    meta: WeightsMeta


Checkpoint = TrainingCheckpoint | WeightsCheckpoint


def save_checkpoint_file(path: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, here or to gs://."""
    training = isinstance(checkpoint, TrainingCheckpoint)
    meta = dataclasses.asdict(checkpoint.meta) | {
        "format": FORMAT,
        "kind": CheckpointKind.TRAINING if training else CheckpointKind.WEIGHTS,
        "step": checkpoint.step,
    }
    npz.write(path, {**checkpoint.arrays, _META: np.array(json.dumps(meta))})


def load_checkpoint_file(path: str) -> Checkpoint:
    """Read and check a checkpoint.

    Raises:
        OrchardError: the file is missing, damaged, or of another program or version.
    """
    arrays = npz.read(path, _META, kind=_KIND, remedy=_REMEDY)
    try:
        meta = json_text.loads(str(arrays.pop(_META)))
        found = meta.pop("format", None)
        if found != FORMAT:
            raise OrchardError(
                f"checkpoint {path} has format {found!r}, not {FORMAT!r}: it is another program's "
                f"or version's; {_REMEDY}"
            )
        step = parse(int, meta.pop("step", None), "step")
        # Checkpoints had no kind at first; the progress is in those of a training alone.
        inferred = CheckpointKind.TRAINING if "progress" in meta else CheckpointKind.WEIGHTS
        if parse(CheckpointKind, meta.pop("kind", inferred), "kind") == CheckpointKind.TRAINING:
            return TrainingCheckpoint(step, arrays, parse(TrainingMeta, meta, "meta"))
        return WeightsCheckpoint(step, arrays, parse(WeightsMeta, meta, "meta"))
    except (ValueError, AttributeError, TypeError) as error:
        raise npz.damaged(path, error, _KIND, _REMEDY) from error
