import numpy as np
import pytest

from ensemble.combine import methods
from ensemble.combine.methods import Combination, normalized, rank_reference
from orchard.formats import Task
from trainer.evaluation.metrics import probabilities as activate


def _logits(members=3, rows=7, classes=4, seed=0):
    return np.random.default_rng(seed).normal(size=(members, rows, classes)).astype(np.float32) * 3


def _odds(logits):
    return np.stack([methods.log_odds(one, "single_label") for one in logits.astype(float)])


def _combination(method, task, weights, classes=4, temperature=1.0, **kwargs):
    shape = 1 if task == "single_label" else classes
    return Combination(
        method=method,
        task=task,
        weights=normalized(weights),
        member_temperatures=np.ones((len(weights), shape)),
        temperature=np.full(shape, temperature),
        **kwargs,
    )


def test_logits_mean_is_the_activation_of_the_weighted_mean():
    logits = _logits()
    expected = (2 * logits[0] + logits[1] + logits[2]) / 4
    for task in Task:
        result = _combination("logits", task, [2, 1, 1])(logits)
        np.testing.assert_allclose(result, activate(expected, task), atol=1e-7)


def test_probabilities_with_the_articles_multipliers():
    logits = _logits(members=4)
    p = [activate(one, "single_label") for one in logits]
    result = _combination("probabilities", "single_label", [2, 1, 1, 1])(logits)
    np.testing.assert_allclose(result, (2 * p[0] + p[1] + p[2] + p[3]) / 5, atol=1e-12)


def test_geometric_equals_logits_for_one_label_and_the_plain_product_for_many():
    logits = _logits()
    for weights in ([1, 1, 1], [5, 0, 2]):
        np.testing.assert_allclose(
            _combination("geometric", "single_label", weights)(logits),
            _combination("logits", "single_label", weights)(logits),
            atol=1e-12,
        )
    p = activate(logits.reshape(-1, 4), "multi_label").reshape(logits.shape)
    np.testing.assert_allclose(
        _combination("geometric", "multi_label", [1, 1, 1])(logits),
        np.cbrt(p.prod(axis=0)),
        rtol=1e-6,
    )


@pytest.mark.parametrize("method", ["logits", "probabilities", "geometric"])
@pytest.mark.parametrize("task", Task)
def test_one_member_gives_its_own_probabilities(method, task):
    logits = _logits(members=1)
    result = _combination(method, task, [3.0])(logits)
    np.testing.assert_allclose(result, activate(logits[0], task), atol=1e-7)
    if task == "single_label":
        np.testing.assert_allclose(result.sum(axis=1), 1.0)


def test_extreme_logits_stay_finite():
    logits = np.array([[[1e4, -1e4, 0.0]], [[-1e4, 1e4, 0.0]]], np.float32)
    for method in ("logits", "probabilities", "geometric"):
        for task in Task:
            result = _combination(method, task, [1, 1], classes=3, temperature=2.0)(logits)
            assert np.isfinite(result).all()
            assert result.min() >= 0 and result.max() <= 1


def test_member_temperatures_divide_before_and_the_last_one_after_averaging():
    logits = _logits(members=2)
    combination = Combination(
        "probabilities",
        "single_label",
        normalized([1, 1]),
        np.array([[2.0], [0.5]]),
        np.array([1.5]),
    )
    mean = (activate(logits[0] / 2, "single_label") + activate(logits[1] / 0.5, "single_label")) / 2
    np.testing.assert_allclose(
        combination(logits), activate(np.log(mean) / 1.5, "single_label"), atol=1e-7
    )


def test_many_label_temperatures_are_per_class():
    logits = _logits(members=1)
    combination = Combination(
        "logits",
        "multi_label",
        np.ones(1),
        np.array([[1.0, 2.0, 4.0, 0.5]]),
        np.array([1.0, 1.0, 2.0, 1.0]),
    )
    expected = activate(logits[0] / np.array([1.0, 2.0, 8.0, 0.5]), "multi_label")
    np.testing.assert_allclose(combination(logits), expected, atol=1e-7)


def test_ranks_among_the_reference_rows_are_their_ranks():
    logits = _logits(members=2, rows=101)
    p = np.stack([activate(one, "single_label") for one in logits])
    reference = rank_reference(_odds(logits))
    result = _combination("rank", "single_label", [1, 1], reference=reference)(logits)
    ranks = p.argsort(axis=1).argsort(axis=1) / 100
    np.testing.assert_allclose(result, ranks.mean(axis=0), atol=1e-9)


def test_rank_of_one_new_image_is_the_same_alone_and_in_company():
    logits, new = _logits(rows=50), _logits(rows=9, seed=5)
    reference = rank_reference(_odds(logits))
    combination = _combination("rank", "single_label", [1, 1, 1], reference=reference)
    together = combination(new)
    for row in range(9):
        np.testing.assert_allclose(combination(new[:, row : row + 1])[0], together[row])


def test_equal_probabilities_share_their_mean_rank():
    p = np.array([[[0.1], [0.5], [0.5], [0.9]]])
    reference = rank_reference(p)
    ranks = methods.quantiles(p[0], reference.values[0], reference.levels[0])
    np.testing.assert_allclose(ranks[:, 0], [0.0, 0.5, 0.5, 1.0])


def test_many_reference_rows_keep_the_order_of_the_rows():
    p = np.random.default_rng(0).beta(0.1, 0.3, size=(1, 5000, 2))
    reference = rank_reference(p)
    assert reference.values.shape == (1, 257, 2)
    ranks = methods.quantiles(p[0], reference.values[0], reference.levels[0])
    for column in range(2):
        order = np.argsort(p[0, :, column])
        assert (np.diff(ranks[order, column]) >= 0).all()
        np.testing.assert_allclose(ranks[order, column], np.linspace(0, 1, 5000), atol=0.005)


def test_log_odds_are_those_of_the_probabilities_and_hold_where_those_saturate():
    logits = _logits()[0].astype(np.float64)
    p = activate(logits, "single_label")
    np.testing.assert_allclose(methods.log_odds(logits, "single_label"), np.log(p / (1 - p)))
    assert methods.log_odds(logits, "multi_label") is logits
    sure = methods.log_odds(np.array([[60.0, 0.0, 0.0], [70.0, 0.0, 0.0]]), "single_label")
    np.testing.assert_allclose(sure[:, 0], [60 - np.log(2), 70 - np.log(2)])
    tied = methods.log_odds(np.array([[5.0, 5.0, -1e4]]), "single_label")
    np.testing.assert_allclose(tied[0, :2], 0.0)


def test_rescaling_by_one_changes_nothing_and_logits_come_back():
    p = activate(_logits()[0], "single_label")
    assert methods.rescale(p, np.ones(1), "single_label") is p
    for task in Task:
        np.testing.assert_allclose(activate(methods.to_logits(p, task), task), p, atol=1e-12)
