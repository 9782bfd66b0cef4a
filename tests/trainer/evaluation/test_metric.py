import itertools
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics as sk

from orchard.errors import OrchardError
from orchard.formats import Task
from tests.trainer.evaluation.samples import multi, one_hot, single
from trainer.evaluation import (
    METRICS,
    Metric,
    check_metric,
    default_metric,
    evaluate,
    is_better,
    metric_names,
    probabilities,
    roc_auc_per_class,
)


def test_evaluate_one_label_equals_scikit_learn():
    logits, targets, labels = single()
    scores = evaluate(logits, targets, Task.SINGLE_LABEL)
    chances = probabilities(logits, Task.SINGLE_LABEL)
    predicted = logits.argmax(axis=1)
    assert scores["accuracy"] == sk.accuracy_score(labels, predicted)
    assert scores["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(labels, predicted)
    )
    assert scores["log_loss"] == pytest.approx(sk.log_loss(labels, chances))
    assert scores["roc_auc"] == pytest.approx(sk.roc_auc_score(targets, chances))
    assert scores["average_precision"] == pytest.approx(
        sk.average_precision_score(targets, chances)
    )
    assert scores["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))


def test_evaluate_many_labels_equals_scikit_learn():
    logits, targets = multi()
    scores = evaluate(logits, targets, Task.MULTI_LABEL)
    predicted = logits >= 0
    assert scores["accuracy"] == sk.accuracy_score(targets, predicted)
    assert scores["roc_auc"] == pytest.approx(sk.roc_auc_score(targets, logits))
    assert scores["f1"] == pytest.approx(sk.f1_score(targets, predicted, average="macro"))
    chances = probabilities(logits, Task.MULTI_LABEL)
    assert scores["log_loss"] == pytest.approx(
        np.mean([sk.log_loss(targets[:, i], chances[:, i]) for i in range(5)])
    )


def test_evaluate_class_never_seen_is_left_out_of_the_means():
    targets = one_hot([0, 1, 0, 1], 3)
    logits = np.array([[2, 1, 0], [1, 2, 0], [2, 1, 0], [1, 2, 0.0]])
    scores = evaluate(logits, targets, Task.SINGLE_LABEL)
    assert scores["roc_auc"] == scores["balanced_accuracy"] == 1.0
    assert np.isnan(roc_auc_per_class(logits, targets, Task.SINGLE_LABEL)[2])


def test_metric_names_of_all_kinds_are_in_their_order():
    assert metric_names() == (
        "accuracy",
        "balanced_accuracy",
        "log_loss",
        "roc_auc",
        "average_precision",
        "f1",
        "ece",
    )
    assert metric_names(main=True) == ("accuracy", "log_loss", "roc_auc")
    assert metric_names(ranks=True) == ("roc_auc", "average_precision")


def test_metric_for_one_task_is_neither_scored_nor_accepted_for_the_other(monkeypatch):
    class OfOneLabel(Metric):
        tasks = (Task.SINGLE_LABEL,)

        def per_row(self, logits, targets, task):
            return np.ones(len(logits))

    members = {**dict(METRICS.items()), "mine": OfOneLabel}
    monkeypatch.setattr(METRICS, "_members", members)
    assert evaluate(*single()[:2], Task.SINGLE_LABEL)["mine"] == 1
    assert metric_names()[-1] == "mine" and "mine" not in metric_names(main=True)
    assert "mine" not in metric_names(ranks=True) and is_better("mine", 2, 1)
    assert "mine" not in evaluate(*multi(), Task.MULTI_LABEL)
    check_metric("mine", Task.SINGLE_LABEL)
    with pytest.raises(OrchardError, match="mine is no metric of multi_label datasets; choose"):
        check_metric("mine", Task.MULTI_LABEL)


def test_default_metric_any_task_is_one_that_the_numbers_allow():
    assert default_metric(Task.SINGLE_LABEL) == "accuracy"
    assert default_metric(Task.MULTI_LABEL) == "roc_auc"
    assert default_metric(Task.SINGLE_LABEL, ranks=True) == "roc_auc"


def test_is_better_any_metric_knows_which_way_it_goes():
    assert is_better("accuracy", 0.9, 0.8)
    assert is_better("log_loss", 0.1, 0.2)
    assert is_better("roc_auc", 0.1, None)
    assert not is_better("accuracy", float("nan"), None)
    assert is_better("accuracy", 0.1, float("nan"))
    assert not is_better("accuracy", 0.5, 0.5)
    assert not is_better("log_loss", 0.2, 0.1) and not is_better("log_loss", 0.1, 0.1)
    assert not is_better("accuracy", float("nan"), float("nan"))


def test_metric_without_rows_and_without_a_score_of_its_own_is_none():
    logits, targets, _ = single()
    with pytest.raises(NotImplementedError):
        Metric().score(logits, targets, Task.SINGLE_LABEL)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("name", METRICS.names())
def test_resampled_any_metric_is_that_of_the_rows_drawn(name, task):
    logits, targets = single()[:2] if task == Task.SINGLE_LABEL else multi()
    counts = np.random.default_rng(0).poisson(1.0, (3, len(logits))).astype(float)
    metric = METRICS[name]()
    for draw, value in zip(counts, metric.resampled(logits, targets, task, counts), strict=True):
        rows = np.repeat(np.arange(len(logits)), draw.astype(int))
        assert value == pytest.approx(metric.score(logits[rows], targets[rows], task))


def test_metric_names_asked_for_need_neither_tensorflow_nor_scikit_learn():
    program = (
        "import sys; from trainer.evaluation import METRICS; METRICS.names();"
        "assert not {'tensorflow', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
@pytest.mark.parametrize("task", Task)
def test_expected_per_row_is_the_mean_over_all_targets(metric, task):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20, 3))
    beliefs = probabilities(generator.normal(size=(20, 3)), task)
    if task == Task.SINGLE_LABEL:
        outcomes, chances = np.eye(3), beliefs.T
    else:
        outcomes = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
        chances = [np.where(one > 0, beliefs, 1 - beliefs).prod(axis=1) for one in outcomes]
    wanted = sum(
        chance * METRICS[metric]().per_row(logits, np.broadcast_to(one, logits.shape), task)
        for one, chance in zip(outcomes, chances, strict=True)
    )
    found = METRICS[metric]().expected_per_row(logits, beliefs, task)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
