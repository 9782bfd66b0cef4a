"""Prediction sets against brute force, and against MAPIE where it has the method."""

import numpy as np
import pytest
import tensorflow as tf
from mapie.conformity_scores import RAPSConformityScore
from mapie.risk_control import MultiLabelClassificationController

from ensemble.conformal import SET_METHODS
from ensemble.conformal.lac import LeastAmbiguous
from ensemble.conformal.method import TOLERANCE, upper_quantile
from ensemble.conformal.raps import Raps
from ensemble.conformal.risk_control import RiskControl
from orchard.formats import Task
from tests.ensemble.conformal.mapie_sets import mapie_sets


def _one_label(rows, classes=6, seed=0):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes) * 0.6, rows)
    # Labels by flatter probabilities: networks are too sure.
    flat = probabilities**0.5 / (probabilities**0.5).sum(axis=1, keepdims=True)
    true = np.array([generator.choice(classes, p=row) for row in flat])
    return probabilities, true, np.eye(classes)[true]


def _many_labels(rows, classes=5, seed=0):
    generator = np.random.default_rng(seed)
    probabilities = generator.random((rows, classes))
    return probabilities, generator.random((rows, classes)) < probabilities


@pytest.mark.parametrize("level", [0.7, 0.9, 0.97])
def test_lac_sets_are_those_ofmapie_sets(level):
    probabilities, true, targets = _one_label(400)
    new, _, _ = _one_label(500, seed=1)
    ours = LeastAmbiguous.fit(probabilities, targets, level, 0).sets(new)
    _, theirs = mapie_sets("lac", probabilities, true, new, level)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("level", [0.7, 0.9, 0.97])
def test_raps_sets_without_a_penalty_are_those_of_mapies_aps(level):
    probabilities, true, _ = _one_label(400)
    new, _, _ = _one_label(500, seed=1)
    ours = Raps.calibrated(probabilities, true, level, penalty=0.0, free=0).sets(new)
    _, theirs = mapie_sets("aps", probabilities, true, new, level)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("level", [0.7, 0.9, 0.97])
def test_raps_sets_of_the_same_parameters_are_those_ofmapie_sets(level):
    probabilities, true, _ = _one_label(500)
    new, _, _ = _one_label(500, seed=1)
    score = RAPSConformityScore(size_raps=0.2)
    fitted, theirs = mapie_sets(score, probabilities, true, new, level)
    backend = fitted._mapie_classifier.conformity_score_function_
    ours = Raps(
        float(backend.quantiles_[0]), float(backend.lambda_star), int(backend.k_star[0])
    ).sets(new)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_risk_control_sets_are_those_ofmapie_sets(level):
    probabilities, targets = _many_labels(60, classes=4)
    keep = targets.any(axis=1)  # MAPIE takes no image without a label.
    probabilities, targets = probabilities[keep], targets[keep]
    new, _ = _many_labels(400, classes=4, seed=1)
    ours = RiskControl.fit(probabilities, targets, level, 0)
    controller = MultiLabelClassificationController(
        predict_function=lambda images: images,
        method="crc",
        target_level=level,
        # All thresholds at which the risk changes, a little lower: its sets are p > threshold.
        predict_params=np.unique(probabilities[targets]) - TOLERANCE,
    )
    controller.calibrate(probabilities, targets.astype(int))
    np.testing.assert_array_equal(ours.sets(new), controller.predict(new)[:, :, 0])


def test_risk_control_threshold_is_the_largest_that_the_bound_allows():
    probabilities, targets = _many_labels(30)
    targets[:3] = False  # Nothing can be missed there.
    fitted = RiskControl.fit(probabilities, targets, 0.8, 0)

    def bound(threshold):
        missed = [
            np.mean(row[own] < threshold) if own.any() else 0.0
            for row, own in zip(probabilities, targets, strict=True)
        ]
        return (np.sum(missed) + 1) / (len(missed) + 1)

    allowed = [one for one in np.unique(probabilities) if bound(one) <= 0.2]
    assert fitted.least_probability <= max(allowed) + 1e-9
    later = [one for one in np.unique(probabilities) if one > fitted.least_probability + 1e-5]
    assert all(bound(one) > 0.2 for one in later[1:])
    assert bound(fitted.least_probability) <= 0.2


def test_raps_scores_are_those_of_the_definition():
    probabilities, _, _ = _one_label(30)
    for row, inside in zip(probabilities, Raps(0.8, 0.05, 2).sets(probabilities), strict=True):
        before, expected = 0.0, set()
        for rank, at in enumerate(np.argsort(-row), start=1):
            if before + 0.05 * max(0, rank - 1 - 2) <= 0.8:
                expected.add(int(at))
            before += row[at]
        assert set(np.flatnonzero(inside).tolist()) == expected


def test_raps_sets_are_never_empty_and_cover_what_is_asked():
    probabilities, _, targets = _one_label(2000)
    new, true, _ = _one_label(20_000, seed=1)
    sets = Raps.fit(probabilities, targets, 0.9, 0).sets(new)
    assert sets.any(axis=1).all()
    assert sets[np.arange(len(true)), true].mean() == pytest.approx(0.9, abs=0.02)


def test_upper_quantile_is_the_order_statistic_of_the_guarantee():
    scores = np.arange(1.0, 10.0)  # 9: the 9th of 10 ranks is the largest.
    assert upper_quantile(scores, 0.9) == 9.0
    assert upper_quantile(scores, 0.8) == 8.0
    assert upper_quantile(scores, 0.91) == float("inf")


@pytest.mark.parametrize("name", list(SET_METHODS))
def test_sets_in_graph_are_those_of_numpy(name):
    kind = SET_METHODS[name]
    if kind.task == Task.SINGLE_LABEL:
        probabilities, _, targets = _one_label(300)
    else:
        probabilities, targets = _many_labels(300)
    fitted = kind.fit(probabilities, targets.astype(float), 0.9, 0)
    found = tf.function(fitted.sets_in_graph)(tf.constant(probabilities, tf.float32))
    np.testing.assert_array_equal(found, fitted.sets(probabilities))
