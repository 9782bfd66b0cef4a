"""Run directories of trainings that never were, with what a comparison reads."""

import json
from pathlib import Path

import numpy as np

from orchard import storage
from orchard.formats import (
    ComputeTime,
    DatasetOfRun,
    RunDir,
    Task,
    TrainingCost,
    save_logits,
)
from tests.records import folds_record, run_record
from tests.trainer import runs
from trainer.evaluation import evaluate

CLASSES = ("rust", "scab", "healthy")


def made_up_logits(fold="0", count=90, noise=1.5, seed=0, task=Task.SINGLE_LABEL):
    """(ids, logits, targets) of the images of a fold: less noise is a better network."""
    truth = np.random.default_rng(int(fold) + 1)
    targets = np.eye(3, dtype=np.float32)[truth.integers(3, size=count)]
    if task == Task.MULTI_LABEL:
        targets = (truth.random((count, 3)) < 0.4).astype(np.float32)
    generator = np.random.default_rng(seed)
    logits = 2 * targets + noise * generator.normal(size=targets.shape)
    order = generator.permutation(count)  # A file has its rows in any order.
    ids = np.array([f"fold{fold}_{row}" for row in range(count)])
    return ids[order], logits[order], targets[order]


def write_run(
    folder: Path, fold="0", noise=1.5, seed=0, cpu_seconds=100.0, task=Task.SINGLE_LABEL, **flags
):
    """A finished run, its metrics.jsonl and the logits of its held-out fold; none of fold none."""
    folder.mkdir(parents=True)
    config = runs.config("data", "mobilenet_v2", folder, fold=fold, seed=seed, **flags)
    scores, split = {}, None
    if fold != "none":
        ids, logits, targets = made_up_logits(fold, noise=noise, seed=seed, task=task)
        split = f"fold{fold}"
        save_logits(RunDir(str(folder)).eval_logits_file(split), ids, logits, targets, CLASSES)
        scores = evaluate(logits, targets, task)
    time = ComputeTime(cpu_seconds / 2, cpu_seconds, 0.0, "cpu", 1)
    record = run_record(
        class_names=CLASSES,
        task=task,
        architecture="mobilenet_v2",
        eval_split=split,
        fold=fold,
        best_step=18,
        scores=scores,
        dataset=DatasetOfRun("leaves", "1.0.0", "abc123", "data"),
        config=config.to_json(),
        cost=TrainingCost(time, 1000, 771_629_504, 5_000_000),
    )
    lines = [
        {"kind": "train", "step": step, "epoch": step / 4.5, "loss": noise * 9 / (8 + step)}
        for step in range(3, 19, 3)
    ]
    lines += [{"kind": "eval", "step": step, **scores} for step in (9, 18) if scores]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "report.html").write_text("<p>")
    storage.write_json(str(folder / "run.json"), record.to_json())
    return record


def write_folds(folder: Path, **options):
    """Folds 0 and 1 of one command, and what is left of both together."""
    parts = []
    for fold in "01":
        write_run(folder / f"fold{fold}", fold, **options)
        parts.append(
            made_up_logits(fold, noise=options.get("noise", 1.5), seed=options.get("seed", 0))
        )
    ids, logits, targets = (np.concatenate(part) for part in zip(*parts, strict=True))
    save_logits(str(folder / "out_of_fold.npz"), ids, logits, targets, CLASSES)
    folds_record().save(str(folder / "folds.json"))
