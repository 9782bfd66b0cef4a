"""The two commands of distillation, as docs/guides/train.md has them, after all folds' runs."""

import subprocess
import sys
import time

import pandas as pd

from orchard import storage
from tests.records import start_up_lines
from tests.trainer import runs
from trainer import folds
from trainer.loop import train_and_evaluate
from trainer.training.progress import read_metrics


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert start_up_lines(done.stderr) == []
    return done.stdout


def test_train_student_on_out_of_fold_predictions_learns_from_them(
    tmp_path, tiny_dataset, tiny_backbone
):
    every_fold = "fold0+fold1+fold2"
    teachers = runs.config(
        tiny_dataset, tiny_backbone, tmp_path / "cv", fold="all", epochs=8, eval_every_epochs=8
    )
    assert folds.train_all(teachers, time.monotonic()) == 0
    scores = storage.read_json(str(tmp_path / "cv" / "folds.json"))
    assert scores["pooled"]["accuracy"] > 0.8

    _run(
        [
            *(sys.executable, "-m", "ensemble.main", f"--members={teachers.run_dir}"),
            *(f"--dataset={tiny_dataset}", f"--split={every_fold}", "--soft_labels", "--noexport"),
            f"--output_dir={tmp_path / 'out'}",
        ]
    )
    soft_labels = tmp_path / "out" / "soft_labels_out_of_fold.csv"
    assert len(pd.read_csv(soft_labels)) == 54

    def student(name, **changes):
        return runs.config(
            tiny_dataset,
            tiny_backbone,
            tmp_path / name,
            fold="",
            train_split=every_fold,
            eval_split="none",
            log_every_steps=1,
            **changes,
        )

    config = student("student", soft_labels=str(soft_labels))
    assert "run finished" in _run(runs.command(config))
    losses = [line["loss"] for line in read_metrics(config.run_dir)]
    assert losses[-1] < losses[0]
    # Same weights, same images, but other targets from the first step on.
    plain = student("plain", max_minutes=1e-6)
    train_and_evaluate(plain)
    assert abs(read_metrics(plain.run_dir)[0]["loss"] - losses[0]) > 1e-3
