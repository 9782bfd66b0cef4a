import numpy as np
import pytest
from sklearn import metrics as sk

from orchard.formats import Task
from trainer.evaluation import metrics


def _one_hot(labels, num_classes):
    return np.eye(num_classes, dtype=np.float32)[labels]


@pytest.fixture
def single():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    logits = rng.normal(size=(200, 4)) + 1.5 * _one_hot(labels, 4)
    return logits.astype(np.float32), _one_hot(labels, 4), labels


@pytest.fixture
def multi():
    rng = np.random.default_rng(1)
    targets = (rng.random((150, 5)) < 0.3).astype(np.float32)
    return (rng.normal(size=(150, 5)) + 2 * targets - 1.2).astype(np.float32), targets


def test_single_label_scores_equal_scikit_learns(single):
    logits, targets, labels = single
    scores = metrics.evaluate(logits, targets, "single_label")
    probabilities = metrics.probabilities(logits, "single_label")
    predicted = logits.argmax(axis=1)
    assert scores["accuracy"] == sk.accuracy_score(labels, predicted)
    assert scores["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(labels, predicted)
    )
    assert scores["log_loss"] == pytest.approx(sk.log_loss(labels, probabilities))
    assert scores["roc_auc"] == pytest.approx(sk.roc_auc_score(targets, probabilities))
    assert scores["average_precision"] == pytest.approx(
        sk.average_precision_score(targets, probabilities)
    )
    assert scores["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))


def test_many_label_scores_equal_scikit_learns(multi):
    logits, targets = multi
    scores = metrics.evaluate(logits, targets, "multi_label")
    predicted = logits >= 0
    assert scores["accuracy"] == sk.accuracy_score(targets, predicted)
    assert scores["roc_auc"] == pytest.approx(sk.roc_auc_score(targets, logits))
    assert scores["f1"] == pytest.approx(sk.f1_score(targets, predicted, average="macro"))
    probabilities = metrics.probabilities(logits, "multi_label")
    assert scores["log_loss"] == pytest.approx(
        np.mean([sk.log_loss(targets[:, i], probabilities[:, i]) for i in range(5)])
    )


def test_log_loss_of_soft_targets_is_their_cross_entropy():
    targets = np.array([[0.7, 0.3]])
    logits = np.log(np.array([[0.6, 0.4]]))
    expected = -(0.7 * np.log(0.6) + 0.3 * np.log(0.4))
    assert metrics.log_loss(logits, targets, "single_label") == pytest.approx(expected)


def test_huge_logits_give_finite_losses():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]])
    for task in Task:
        assert metrics.log_loss(logits, np.eye(2), task) == pytest.approx(0.0, abs=1e-6)
        assert np.isfinite(metrics.log_loss(logits, np.eye(2)[::-1], task))


def test_a_class_never_seen_is_left_out_of_the_means():
    targets = _one_hot([0, 1, 0, 1], 3)
    logits = np.array([[2, 1, 0], [1, 2, 0], [2, 1, 0], [1, 2, 0.0]])
    scores = metrics.evaluate(logits, targets, "single_label")
    assert scores["roc_auc"] == scores["balanced_accuracy"] == 1.0
    assert np.isnan(metrics.roc_auc_per_class(logits, targets, "single_label")[2])


def test_calibration_error_sees_over_confidence():
    # 90% sure, right half of the time: off by 0.4.
    logits = np.tile(np.log([[0.9, 0.1]]), (10, 1))
    targets = _one_hot([0, 1] * 5, 2)
    error = metrics.expected_calibration_error(logits, targets, "single_label")
    assert error == pytest.approx(0.4)


def test_best_thresholds_raise_f1_over_one_half(multi):
    logits, targets = multi
    thresholds = metrics.best_thresholds(logits, targets, "multi_label")
    at_half = metrics.f1_per_class(logits, targets, "multi_label")
    at_best = metrics.f1_per_class(logits, targets, "multi_label", thresholds)
    assert np.all(at_best >= at_half) and np.any(at_best > at_half)


def test_is_better_knows_which_way_each_metric_goes():
    assert metrics.is_better("accuracy", 0.9, 0.8)
    assert metrics.is_better("log_loss", 0.1, 0.2)
    assert metrics.is_better("roc_auc", 0.1, None)
    assert not metrics.is_better("accuracy", float("nan"), None)
    assert metrics.is_better("accuracy", 0.1, float("nan"))
    assert not metrics.is_better("accuracy", 0.5, 0.5)


def test_per_class_table_has_a_row_for_each_class(single):
    logits, targets, labels = single
    table = metrics.per_class_table(logits, targets, "single_label", tuple("abcd"))
    assert [row["class"] for row in table] == list("abcd")
    assert [row["count"] for row in table] == list(np.bincount(labels))
    recall = sk.recall_score(labels, logits.argmax(axis=1), average=None)
    np.testing.assert_allclose([row["recall"] for row in table], recall)
