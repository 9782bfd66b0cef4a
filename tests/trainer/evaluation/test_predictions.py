import numpy as np
import pytest

from orchard.formats import Task
from trainer.evaluation import row_losses


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
