import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.trainer.heads.problems import features_and_targets, targets_of
from trainer.heads import HEADS, HeadLoss, solver


def problem(kind="one label", decay=0.01, num_rows=80, **loss):
    features, one_hot = features_and_targets(num_rows)
    task, targets = targets_of(kind, one_hot)
    head = HEADS["linear"](features.shape[1], targets.shape[1], seed=0)
    return solver.HeadProblem(head, HeadLoss(task, **loss), features, targets, decay)


def solved(one):
    near = one.descend(one.head.initial(), 1e-3, 1000)
    return one.refine(near, one.head.tolerance).reshape(-1, one.targets.shape[1])


def sklearn_solution(features, labels, decay, **fit):
    model = LogisticRegression(
        C=1 / (len(features) * decay), tol=1e-12, max_iter=100_000, solver="newton-cg"
    )
    return model.fit(features.astype(np.float64), labels, **fit)


@pytest.mark.parametrize("decay", [1.0, 0.01, 1e-4])
def test_refine_gives_the_solution_of_scikit_learn(decay):
    one = problem(decay=decay)
    found = solved(one)
    wanted = sklearn_solution(one.features, one.targets.argmax(axis=1), decay)
    np.testing.assert_allclose(found[:-1].T, wanted.coef_, atol=1e-5)
    # The constant that all classes share changes nothing: scikit-learn's is another one.
    centered = found[-1] - found[-1].mean()
    np.testing.assert_allclose(centered, wanted.intercept_ - wanted.intercept_.mean(), atol=1e-5)


def test_refine_many_labels_gives_a_regression_of_scikit_learn_for_each_class():
    one = problem("many labels")
    found = solved(one)
    for column in range(3):
        # The loss is a mean over classes, so each class has its decay threefold.
        wanted = sklearn_solution(one.features, one.targets[:, column], 3 * one.decay)
        np.testing.assert_allclose(found[:-1, column], wanted.coef_[0], atol=1e-5)
        assert found[-1, column] == pytest.approx(wanted.intercept_[0], abs=1e-5)


def test_refine_soft_targets_gives_what_scikit_learn_does_of_weighted_copies():
    one = problem("soft")
    found = solved(one)
    num_rows, num_classes = one.targets.shape
    copies = np.repeat(one.features, num_classes, axis=0)
    labels, weights = np.tile(np.arange(num_classes), num_rows), one.targets.ravel()
    wanted = sklearn_solution(
        copies, labels, one.decay / num_classes, sample_weight=weights.astype(np.float64)
    )
    np.testing.assert_allclose(found[:-1].T, wanted.coef_, atol=1e-5)


@pytest.mark.parametrize("kind", ["one label", "soft", "many labels"])
def test_refine_ends_where_the_gradient_vanishes(kind):
    one = problem(kind, label_smoothing=0.1, class_weights=(1.0, 2.0, 0.5))
    exact = solver.HeadProblem(
        one.head, one.loss, one.features.astype(np.float64), one.targets, one.decay
    )
    _, gradient = exact.value_and_gradient(solved(one).ravel())
    assert np.abs(gradient).max() <= one.head.tolerance


def test_refine_from_far_away_gets_there_too():
    one = problem(decay=1e-4)
    far = one.head.initial() + 50 * np.random.default_rng(0).standard_normal(21)
    np.testing.assert_allclose(
        one.refine(far, 1e-8).reshape(-1, 3)[:-1], solved(one)[:-1], atol=1e-4
    )


def test_solution_does_not_depend_on_how_rows_are_cut_into_chunks(monkeypatch):
    one = problem(num_rows=200)
    whole = solved(one)
    monkeypatch.setattr(solver, "_CHUNK_ROWS", 64)
    np.testing.assert_allclose(solved(problem(num_rows=200)), whole, atol=1e-6)
