import dataclasses

import numpy as np
import pytest

from ensemble.combine import COMBINERS, Combination
from orchard.formats import Task
from trainer.evaluation import probabilities as activate


def _logits(members=3, rows=7, classes=4, seed=0):
    return np.random.default_rng(seed).normal(size=(members, rows, classes)).astype(np.float32) * 3


def _combination(name, task, weights, classes=4, temperature=1.0):
    shape = 1 if task == "single_label" else classes
    return Combination(
        combiners=(COMBINERS[name](task),) * len(weights),
        weights=np.array(weights) / np.sum(weights),
        member_temperatures=np.ones((len(weights), shape)),
        temperature=np.full(shape, temperature),
    )


def test_combination_of_logits_activates_the_weighted_mean():
    logits = _logits()
    expected = (2 * logits[0] + logits[1] + logits[2]) / 4
    for task in Task:
        result = _combination("logits", task, [2, 1, 1])(logits)
        np.testing.assert_allclose(result, activate(expected, task), atol=1e-7)


def test_combination_of_probabilities_is_their_weighted_mean():
    logits = _logits(members=4)
    p = [activate(one, "single_label") for one in logits]
    result = _combination("probabilities", "single_label", [2, 1, 1, 1])(logits)
    np.testing.assert_allclose(result, (2 * p[0] + p[1] + p[2] + p[3]) / 5, atol=1e-12)


def test_combination_geometric_equals_logits_for_one_label_and_is_a_product_for_many():
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
def test_combination_of_one_member_gives_its_own_probabilities(method, task):
    logits = _logits(members=1)
    result = _combination(method, task, [3.0])(logits)
    np.testing.assert_allclose(result, activate(logits[0], task), atol=1e-7)
    if task == "single_label":
        np.testing.assert_allclose(result.sum(axis=1), 1.0)


def test_combination_of_extreme_logits_stays_finite():
    logits = np.array([[[1e4, -1e4, 0.0]], [[-1e4, 1e4, 0.0]]], np.float32)
    for method in ("logits", "probabilities", "geometric"):
        for task in Task:
            result = _combination(method, task, [1, 1], classes=3, temperature=2.0)(logits)
            assert np.isfinite(result).all()
            assert result.min() >= 0 and result.max() <= 1


def test_combination_with_temperatures_divides_before_and_after_averaging():
    logits = _logits(members=2)
    combination = Combination(
        (COMBINERS["probabilities"]("single_label"),) * 2,
        np.array([0.5, 0.5]),
        np.array([[2.0], [0.5]]),
        np.array([1.5]),
    )
    mean = (activate(logits[0] / 2, "single_label") + activate(logits[1] / 0.5, "single_label")) / 2
    np.testing.assert_allclose(
        combination(logits), activate(np.log(mean) / 1.5, "single_label"), atol=1e-7
    )


def test_combination_of_many_labels_has_a_temperature_for_each_class():
    logits = _logits(members=1)
    combination = Combination(
        (COMBINERS["logits"]("multi_label"),),
        np.ones(1),
        np.array([[1.0, 2.0, 4.0, 0.5]]),
        np.array([1.0, 1.0, 2.0, 1.0]),
    )
    expected = activate(logits[0] / np.array([1.0, 2.0, 8.0, 0.5]), "multi_label")
    np.testing.assert_allclose(combination(logits), expected, atol=1e-7)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize(
    ("name", "temperature"),
    [(name, 1.0) for name in COMBINERS]
    + [(name, 2.0) for name, combiner in COMBINERS.items() if combiner.gives_probabilities],
)
def test_combination_in_graph_equals_numpy(name, task, temperature):
    import tensorflow as tf

    logits = _logits(rows=40)
    plain = _combination(name, task, [2, 0, 1], temperature=temperature)
    fitted = tuple(
        combiner.fitted_to(one.astype(np.float64))
        for combiner, one in zip(plain.combiners, logits, strict=True)
    )
    combination = dataclasses.replace(plain, combiners=fitted)
    # The member without weight is not asked for.
    result = combination.in_graph({at: tf.constant(logits[at]) for at in (0, 2)})
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, combination(logits), atol=1e-5)


@pytest.mark.parametrize("name", ["logits", "geometric"])
def test_combination_in_graph_with_a_temperature_keeps_sure_logits(name):
    import tensorflow as tf

    logits = np.array([[[40.0, 0.0]]], np.float32)
    task = "multi_label" if name == "logits" else "single_label"
    combination = _combination(name, task, [1], classes=2, temperature=4.0)
    result = combination.in_graph({0: tf.constant(logits[0])})
    np.testing.assert_allclose(result, activate(logits[0] / 4, task), rtol=1e-5)
