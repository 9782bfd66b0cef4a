import subprocess
import sys

import numpy as np
import pytest

from ensemble.combine import activation
from orchard.formats import Task
from trainer.evaluation import probabilities as activate


def _logits():
    return np.random.default_rng(0).normal(size=(7, 4)) * 3


def test_log_odds_equal_those_of_the_probabilities_and_hold_where_those_saturate():
    logits = _logits()
    p = activate(logits, "single_label")
    np.testing.assert_allclose(activation.log_odds(logits, "single_label"), np.log(p / (1 - p)))
    assert activation.log_odds(logits, "multi_label") is logits
    sure = activation.log_odds(np.array([[60.0, 0.0, 0.0], [70.0, 0.0, 0.0]]), "single_label")
    np.testing.assert_allclose(sure[:, 0], [60 - np.log(2), 70 - np.log(2)])
    tied = activation.log_odds(np.array([[5.0, 5.0, -1e4]]), "single_label")
    np.testing.assert_allclose(tied[0, :2], 0.0)


def test_rescale_by_one_changes_nothing():
    p = activate(_logits(), "single_label")
    assert activation.rescale(p, np.ones(1), "single_label") is p


@pytest.mark.parametrize("task", Task)
def test_to_logits_is_undone_by_activate(task):
    p = activate(_logits(), "single_label")
    np.testing.assert_allclose(activate(activation.to_logits(p, task), task), p, atol=1e-12)


def test_to_logits_of_0_and_1_are_the_largest_that_there_are():
    p = np.array([[0.0, 1.0]])
    smallest, nearest = np.finfo(np.float64).tiny, np.finfo(np.float64).eps / 2
    both = activation.to_logits(p, "multi_label")
    np.testing.assert_allclose(both, [[np.log(smallest), -np.log(nearest)]])
    np.testing.assert_allclose(activation.to_logits(p, "single_label"), [[np.log(smallest), 0]])


def test_combiners_import_no_tensorflow():
    program = "import sys; from ensemble.combine import COMBINERS; COMBINERS.names(); "
    program += "sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
