import numpy as np
import pytest

from ensemble.scoring import bootstrap
from trainer.evaluation import METRICS, gain_interval, probabilities, score_interval


@pytest.mark.parametrize("metric", METRICS.names())
def test_intervals_of_probabilities_are_those_of_their_logits(metric):
    generator = np.random.default_rng(0)
    targets = np.eye(3)[generator.integers(3, size=40)]
    first, second = (2 * targets + generator.normal(size=(40, 3)) * noise for noise in (1, 3))
    if METRICS[metric].ranks:  # They look at the columns of probabilities, one by one.
        first, second = (np.log(probabilities(one, "single_label")) for one in (first, second))
    p, q = (probabilities(one, "single_label") for one in (first, second))
    assert bootstrap.interval(metric, p, targets, "single_label") == pytest.approx(
        score_interval(metric, first, targets, "single_label")
    )
    assert bootstrap.difference_interval(metric, p, q, targets, "single_label") == pytest.approx(
        gain_interval(metric, first, second, targets, "single_label")
    )
