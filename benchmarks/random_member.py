"""Run directories with random weights: enough of one to be a member of an ensemble."""

import os

from orchard.formats import DatasetOfRun, RunDir, RunRecord, Task
from trainer.keras_module import keras
from trainer.results import export


def save_random_member(
    folder: str,
    name: str,
    network: keras.Model,
    class_names: tuple[str, ...],
    task: Task,
    dataset: DatasetOfRun | None = None,
) -> str:
    """Save a network for square images as if it had been trained; returns its run directory."""
    side_px = network.input_shape[1]
    serving = export.ServingModule(network, class_names, task, side_px, side_px, "squash", False)
    run = RunDir(os.path.join(folder, name))
    fingerprint = export.export(network, serving, run)
    RunRecord(
        class_names=class_names,
        task=task,
        architecture=name,
        image_size_px=(side_px, side_px),
        resize="squash",
        exact_decode=False,
        train_split="none",
        eval_split=None,
        fold="",
        best_step=0,
        best_metric="accuracy",
        scores={},
        skipped_records=0,
        dataset=dataset or DatasetOfRun("", "", "", ""),
        member_fingerprint=fingerprint,
        versions={},
        config={},
    ).save(run.record_file)
    keras.backend.clear_session()
    return run.path
