import numpy as np
import pytest

from orchard.formats import Task
from trainer.evaluation import hard_predictions, hard_targets, probabilities, row_losses


def test_row_losses_soft_targets_are_their_cross_entropy():
    targets = np.array([[0.7, 0.3]])
    logits = np.log(np.array([[0.6, 0.4]]))
    expected = -(0.7 * np.log(0.6) + 0.3 * np.log(0.4))
    assert row_losses(logits, targets, Task.SINGLE_LABEL) == pytest.approx([expected])


def test_row_losses_huge_logits_are_finite():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]])
    for task in Task:
        assert row_losses(logits, np.eye(2), task) == pytest.approx(0.0, abs=1e-6)
        assert np.isfinite(row_losses(logits, np.eye(2)[::-1], task)).all()


def test_hard_predictions_at_a_threshold_count_as_there():
    logits = np.array([[0.0, -1.0, 2.0]])
    assert hard_predictions(logits, Task.MULTI_LABEL).tolist() == [[True, False, True]]
    at = probabilities(logits, Task.MULTI_LABEL)[0]
    assert hard_predictions(logits, Task.MULTI_LABEL, at).all()
    assert hard_predictions(logits, Task.SINGLE_LABEL).tolist() == [[False, False, True]]
    assert hard_targets(np.array([[0.5, 0.49]]), Task.MULTI_LABEL).tolist() == [[True, False]]


def test_row_losses_of_many_labels_are_the_mean_over_classes():
    p, targets = np.array([[0.8, 0.3]]), np.array([[1.0, 0.25]])
    expected = -(np.log(0.8) + 0.25 * np.log(0.3) + 0.75 * np.log(0.7)) / 2
    assert row_losses(np.log(p / (1 - p)), targets, Task.MULTI_LABEL) == pytest.approx([expected])
