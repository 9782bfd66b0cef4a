import numpy as np
import pytest
from sklearn import metrics as sk

from orchard.formats import Task
from tests.trainer.evaluation.samples import multi, single
from trainer.evaluation import probabilities
from trainer.evaluation.classes import (
    best_thresholds,
    f1_per_class,
    nanmean,
    per_class_table,
    share,
)


def test_best_thresholds_many_labels_raise_f1_over_one_half():
    logits, targets = multi()
    thresholds = best_thresholds(logits, targets, Task.MULTI_LABEL)
    at_half = f1_per_class(logits, targets, Task.MULTI_LABEL)
    at_best = f1_per_class(logits, targets, Task.MULTI_LABEL, thresholds)
    assert np.all(at_best >= at_half) and np.any(at_best > at_half)


def test_best_thresholds_are_the_best_of_all():
    logits, targets = multi()
    targets[:, 4] = 0
    chances = probabilities(logits, Task.MULTI_LABEL)
    found = best_thresholds(logits, targets, Task.MULTI_LABEL)
    best = f1_per_class(logits, targets, Task.MULTI_LABEL, found)
    for column in range(4):
        every = [
            sk.f1_score(targets[:, column], chances[:, column] >= cut) for cut in chances[:, column]
        ]
        assert best[column] == pytest.approx(max(every))
    assert found[4] == 0.5


def test_best_thresholds_where_nothing_is_right_are_numbers():
    # The one positive has the lowest probability: precision and recall are 0 above it.
    logits, targets = np.array([[2.0], [1.0], [-3.0]]), np.array([[0.0], [0.0], [1.0]])
    found = best_thresholds(logits, targets, Task.MULTI_LABEL)
    assert found == pytest.approx(1 / (1 + np.exp(3)))


def test_f1_per_class_of_a_class_that_is_nowhere_is_nan():
    logits, targets = np.array([[3.0, 0.0, -9.0], [0.0, 3.0, -9.0]]), np.eye(3)[[0, 0]]
    found = f1_per_class(logits, targets, Task.SINGLE_LABEL)
    assert found[:2] == pytest.approx([2 / 3, 0.0]) and np.isnan(found[2])


def test_per_class_table_many_labels_has_the_scores_of_scikit_learn():
    logits, targets = multi()
    table = per_class_table(logits, targets, Task.MULTI_LABEL, tuple("abcde"))
    predicted = logits >= 0
    for at, row in enumerate(table):
        true, named = targets[:, at], predicted[:, at]
        assert row["precision"] == pytest.approx(sk.precision_score(true, named))
        assert row["recall"] == pytest.approx(sk.recall_score(true, named))
        assert row["f1"] == pytest.approx(sk.f1_score(true, named))
        assert row["roc_auc"] == pytest.approx(sk.roc_auc_score(true, logits[:, at]))
    thresholds = best_thresholds(logits, targets, Task.MULTI_LABEL)
    np.testing.assert_array_equal([row["threshold"] for row in table], thresholds)


def test_share_of_nothing_is_nan_and_nanmean_leaves_it_out():
    found = share(np.array([[True, False], [False, False]]), np.array([[True, False]] * 2))
    assert found[0] == 0.5 and np.isnan(found[1])
    assert nanmean(np.append(found, 1.0)) == 0.75
    assert np.isnan(nanmean(np.array([np.nan])))


def test_per_class_table_one_label_has_a_row_for_each_class():
    logits, targets, labels = single()
    table = per_class_table(logits, targets, Task.SINGLE_LABEL, tuple("abcd"))
    assert [row["class"] for row in table] == list("abcd")
    assert [row["count"] for row in table] == list(np.bincount(labels))
    recall = sk.recall_score(labels, logits.argmax(axis=1), average=None)
    np.testing.assert_allclose([row["recall"] for row in table], recall)
    precision = sk.precision_score(labels, logits.argmax(axis=1), average=None)
    np.testing.assert_allclose([row["precision"] for row in table], precision)
    assert all(np.isnan(row["threshold"]) for row in table)
