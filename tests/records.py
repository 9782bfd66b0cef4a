"""What passes between the stages, made up, and what commands must not print."""

import re
from typing import Any

from orchard.formats import (
    AutoViews,
    DatasetOfRun,
    EnsembleDataset,
    EnsembleRecord,
    FileInfo,
    FoldsRecord,
    GainOverUniform,
    Manifest,
    MemberWeight,
    NetworkWeight,
    RefitsChoice,
    Resolved,
    RunRecord,
    ShardInfo,
    SplitInfo,
    Task,
    TrainedDataset,
    TrainingMeta,
    TrainingProgress,
    WeightSelection,
)


def run_record(**changes: Any) -> RunRecord:
    """The record of a run that never was."""
    fields = {
        "class_names": ("rust", "scab", "healthy"),
        "task": Task.SINGLE_LABEL,
        "architecture": "efficientnet_b7",
        "image_size_px": (480, 768),
        "resize": "crop",
        "exact_decode": True,
        "train_split": "fold1+fold2",
        "eval_split": "fold0",
        "fold": "0",
        "best_step": 3,
        "best_metric": "accuracy",
        "scores": {"accuracy": 0.5, "roc_auc": None},
        "skipped_records": 0,
        "dataset": DatasetOfRun("leaves", "1.0.0", "abc123", "data/leaves/1.0.0"),
        "member_fingerprint": "def456",
        "versions": {"keras": "3.0.0"},
        "config": {},
    }
    return RunRecord(**{**fields, **changes})


def training_meta(step: int) -> TrainingMeta:
    """What a checkpoint says of a training that never was."""
    return TrainingMeta(
        config={"seed": 3},
        resolved=Resolved(
            train_split="fold1+fold2",
            eval_split="fold0",
            batch_size=8,
            eval_batch_size=16,
            learning_rate=0.1,
            warmup_steps=2.5,
            total_steps=30,
            image_size="32x48",
            precision="float32",
            best_metric="accuracy",
            order="random",
        ),
        dataset=TrainedDataset("leaves", "1.0.0", "abc123", ("rust", "scab"), Task.MULTI_LABEL),
        progress=TrainingProgress(step, evaluations=[{"step": 1, "accuracy": 0.5}]),
    )


def manifest() -> Manifest:
    """The manifest of a dataset that never was."""
    shard = ShardInfo("leaves-train.tfrecord-00000-of-00001", 2, 300, 7)
    return Manifest(
        name="leaves",
        version="1.0.0",
        fingerprint="abc123",
        task=Task.SINGLE_LABEL,
        class_names=("rust", "scab"),
        splits={"train": SplitInfo((shard,), True, (1.0, 1.0)), "eval": SplitInfo((), True, ())},
        settings={"seed": 0},
        inputs={"csv": {"rows": 2}},
        library_versions={"numpy": "2.0.0"},
        files={"features.json": FileInfo(10, 3)},
    )


def folds_record() -> FoldsRecord:
    """The scores of two folds that never were."""
    scores = {"accuracy": 0.5, "roc_auc": None}
    return FoldsRecord({"0": scores, "1": scores}, scores, scores, scores)


def ensemble_record() -> EnsembleRecord:
    """The record of an ensemble that never was."""
    run = MemberWeight("b7", "runs/b7", "b7", "def456", "fold1", None, 1.0, (1.0, 2.0))
    gain = GainOverUniform(0.1, None, 0.2, 0.95, 5)
    return EnsembleRecord(
        task=Task.MULTI_LABEL,
        class_names=("rust", "scab"),
        dataset=EnsembleDataset("data/leaves/1.0.0", "abc123"),
        split="test",
        combine="logits",
        tta="none",
        weights="greedy",
        weights_split="OUT_OF_FOLD",
        metric="roc_auc",
        members=(run,),
        networks=(NetworkWeight("b7", ("b7",), 1.0),),
        temperature=(1.0,),
        thresholds=(0.5, 0.5),
        selection=WeightSelection(("b7",), (0.3, None), {"b7": 1.0}, True, gain),
        refits=RefitsChoice("refits", "", ("b7/fold0",), "they saw less"),
        tta_auto=AutoViews("mirror", False, "they do not help"),
    )


def start_up_lines(stderr: str) -> list[str]:
    """What TensorFlow, absl or CUDA print when they start, of what a command printed."""
    return re.findall(r"^(?:[IWEF]\d{4} |\d{4}-\d\d-\d\d |WARNING).*", stderr, re.M)
