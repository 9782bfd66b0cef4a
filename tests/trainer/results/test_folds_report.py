import dataclasses

import numpy as np
import pytest

from orchard.formats import ComputeTime, Logits, TrainingCost
from tests.records import folds_record, run_record
from trainer.results.folds_report import total_cost, write_folds_report

_TIME = ComputeTime(10.0, 20.0, 0.0, "cpu", 1)
_COST = TrainingCost(_TIME, 100, 7_000_000, 5)


def test_total_cost_is_the_sum_of_all_trainings_and_one_prediction():
    later = dataclasses.replace(_COST, time=ComputeTime(1.0, 2.0, 0.0, "cpu", 1), train_images=50)
    assert total_cost([_COST, later]) == TrainingCost(
        ComputeTime(11.0, 22.0, 0.0, "cpu", 1), 150, 7_000_000, 5
    )


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(_COST, time=None),
        dataclasses.replace(_COST, time=dataclasses.replace(_TIME, device_kind="gpu")),
    ],
)
def test_total_cost_without_one_of_the_times_or_of_two_units_has_no_time(other):
    assert total_cost([_COST, other]) == TrainingCost(None, 200, 7_000_000, 5)
    assert total_cost([_COST, None]) is None


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_write_folds_report_has_a_row_a_fold_the_totals_and_the_pooled_figures(tmp_path, task):
    targets = np.eye(3, dtype=np.float32)
    pooled = Logits(np.array(["a", "b", "c"]), 2 * targets, targets, ("rust", "scab", "healthy"))
    runs = [
        run_record(
            fold=str(k), task=task, cost=_COST, scores={"accuracy": 0.25 + k / 2, "f1": None}
        )
        for k in range(2)
    ]
    scores = {"accuracy": 0.5, "f1": None}
    summary = dataclasses.replace(
        folds_record(), mean=scores, spread=scores, pooled={"accuracy": 0.625, "f1": None}
    )
    write_folds_report(str(tmp_path), summary, runs, pooled, {}, 0)
    page = (tmp_path / "report.html").read_text()
    assert '<a href="fold1/report.html">fold1</a>' in page
    assert all(f">{score}</td>" in page for score in ("0.2500", "0.7500", "0.6250", "–"))
    assert "<dd>40 CPU-s</dd>" in page and "<dd>2 folds</dd>" in page
    assert ("Confusion matrix" in page) == (task == "single_label")
    assert "Reliability diagram" in page and "Refits" not in page
    assert 'src="http' not in page and "<script" not in page
