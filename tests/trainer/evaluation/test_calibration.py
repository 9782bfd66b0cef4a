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


def test_reliability_of_what_is_certain_is_in_the_last_of_fifteen_bins():
    p = np.array([[1.0, 0.0], [0.55, 0.45]])
    diagram = reliability(p, np.eye(2), Task.SINGLE_LABEL)
    assert np.flatnonzero(diagram.count).tolist() == [8, 14] and len(diagram.count) == 15
    assert diagram.accuracy[[8, 14]].tolist() == [0.0, 1.0]
    many = reliability(p, np.eye(2), Task.MULTI_LABEL)
    assert np.flatnonzero(many.count).tolist() == [0, 6, 8, 14]


def test_expected_error_weighs_bins_by_their_rows():
    p = np.array([[0.9, 0.1]] * 3 + [[0.6, 0.4]])
    targets = np.array([[1, 0], [1, 0], [0, 1], [1, 0]])
    diagram = reliability(p, targets, Task.SINGLE_LABEL)
    assert diagram.expected_error == pytest.approx((3 * abs(2 / 3 - 0.9) + 0.4) / 4)
