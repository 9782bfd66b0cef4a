import numpy as np
import pytest

from ensemble.fitting.trials import cross_fitted, guard
from ensemble.fitting.weightings import greedy_selection
from tests.ensemble.fitting.networks import TASK, noisy_networks, regret_of


def _guard(fit, combine, metric, targets, num_networks):
    learned = cross_fitted(lambda rows, out: combine(fit(rows), out), targets)
    uniform = combine(np.full(num_networks, 1 / num_networks), np.arange(len(targets)))
    return guard(learned, uniform, metric, targets, TASK)


def _judge(p, targets, metric="log_loss"):
    def fit(rows):
        return greedy_selection(p[:, rows], regret_of(metric, targets[rows])).weights

    def combine(weights, rows):
        return np.tensordot(weights, p[:, rows], axes=1)

    return _guard(fit, combine, metric, targets, len(p))


def test_guard_where_one_network_spoils_the_mean_trusts_the_weights():
    verdict = _judge(*noisy_networks([0.8, 30.0, 30.0]))
    assert verdict.trusted
    assert 0 < verdict.low <= verdict.gain <= verdict.high


@pytest.mark.parametrize("noises", [[1.4, 1.5, 1.6], [1.0, 1.3, 1.6]])
def test_guard_with_a_gain_that_may_be_chance_does_not_trust_it(noises):
    verdict = _judge(*noisy_networks(noises, rows=80), metric="accuracy")
    assert verdict.low < 0 < verdict.gain
    assert not verdict.trusted


def test_guard_never_scores_rows_that_the_fit_saw():
    p, targets = noisy_networks([1.0, 1.0], rows=53)
    seen = []

    def fit(rows):
        seen.append(set(rows))
        return np.array([0.5, 0.5])

    def combine(weights, rows):
        if len(rows) < len(targets):
            assert not seen[-1] & set(rows)
            assert len(seen[-1]) + len(rows) == len(targets)
        return np.tensordot(weights, p[:, rows], axes=1)

    verdict = _guard(fit, combine, "accuracy", targets, 2)
    assert verdict.gain == 0.0
    assert not verdict.trusted
    assert len(seen) == 5


def test_guard_with_a_class_rarer_than_the_parts_gives_numbers():
    p, targets = noisy_networks([1.0, 2.0], rows=60)
    targets[:] = np.eye(4)[[0] * 30 + [1] * 28 + [2] * 2]
    verdict = _judge(p, targets, metric="roc_auc")
    assert np.isfinite([verdict.gain, verdict.low, verdict.high]).all()
