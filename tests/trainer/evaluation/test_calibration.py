import numpy as np
import pytest

from orchard.formats import Task
from tests.trainer.evaluation.samples import multi, one_hot
from trainer.evaluation import METRICS, probabilities, reliability


def test_ece_over_confident_logits_is_their_gap():
    # 90% sure, right half of the time: off by 0.4.
    logits = np.tile(np.log([[0.9, 0.1]]), (10, 1))
    targets = one_hot([0, 1] * 5, 2)
    error = METRICS["ece"]().score(logits, targets, Task.SINGLE_LABEL)
    assert error == pytest.approx(0.4)


def test_ece_many_labels_compares_every_cell():
    logits, targets = multi()
    chances = probabilities(logits, Task.MULTI_LABEL).ravel()
    bins = (chances * 15).astype(int)
    gaps = np.bincount(bins, chances - targets.ravel(), minlength=15)
    error = METRICS["ece"]().score(logits, targets, Task.MULTI_LABEL)
    assert error == pytest.approx(abs(gaps).sum() / chances.size)


def test_reliability_bins_hold_mean_confidence_and_accuracy():
    p = np.array([[0.9, 0.1], [0.95, 0.05], [0.42, 0.58]])
    targets = np.array([[1, 0], [0, 1], [0, 1]])
    diagram = reliability(p, targets, Task.SINGLE_LABEL, num_bins=2)
    assert diagram.count.tolist() == [0, 3]
    assert diagram.confidence[1] == pytest.approx((0.9 + 0.95 + 0.58) / 3)
    assert diagram.accuracy[1] == pytest.approx(2 / 3)
    assert np.isnan(diagram.confidence[0])
