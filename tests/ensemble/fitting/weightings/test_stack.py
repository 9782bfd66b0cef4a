import numpy as np
import pytest
from scipy.optimize import minimize

from ensemble.combine import LogLinear
from ensemble.fitting.weightings import stack
from ensemble.fitting.weightings.weighting import WEIGHTINGS, Sample
from orchard.formats import Task
from trainer.evaluation import probabilities, row_losses


def _logs(task, noises=(0.6, 1.2, 4.0), rows=90, classes=3, scale=2.0, seed=0):
    """Log-probabilities or log-odds [networks, rows, classes], and targets."""
    generator = np.random.default_rng(seed)
    targets = np.eye(classes)[generator.integers(classes, size=rows)]
    if task == Task.MULTI_LABEL:
        targets = (generator.random((rows, classes)) < 0.4).astype(float)
    logits = [
        scale * (2 * targets - 1 + noise * generator.normal(size=targets.shape)) for noise in noises
    ]
    return np.stack([LogLinear(task).represent(one) for one in logits]), targets


def _objective(flat, logs, targets, task, penalty):
    """The module's formula, written for one element at a time."""
    num_networks, _, num_classes = logs.shape
    weights = flat[: num_networks * num_classes].reshape(num_networks, num_classes)
    offsets = flat[num_networks * num_classes :]
    scores = sum(weights[m] * logs[m] for m in range(num_networks)) + offsets
    loss = np.mean(row_losses(scores, targets, task))
    for m in range(num_networks):
        loss += penalty * (np.mean(weights[m]) - 1 / num_networks) ** 2
        loss += penalty * stack.STIFFNESS * np.var(weights[m])
    return loss + penalty * stack.STIFFNESS * np.mean(offsets**2)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("penalty", [1.0, 0.01, 1e-4])
def test_fit_stack_is_the_minimum_that_a_general_optimizer_finds(task, penalty):
    logs, targets = _logs(task)
    found = stack.fit_stack(logs, targets, task, penalty)
    flat = np.concatenate([found.weights.ravel(), found.offsets])
    start = np.random.default_rng(1).normal(size=flat.size)
    arguments = (logs, targets, task, penalty)
    general = minimize(_objective, start, arguments, method="BFGS", options={"gtol": 1e-7})
    assert _objective(flat, *arguments) <= general.fun + 1e-8
    np.testing.assert_allclose(flat, general.x, atol=5e-3)


def test_fit_stack_with_no_weight_below_0_is_the_minimum_within_these_bounds():
    # The second network is the first one's error: it wants a weight below 0.
    logs, targets = _logs(Task.MULTI_LABEL, noises=(1.0, 1.0))
    logs = np.stack([logs[0], logs[0] - 3 * (2 * targets - 1)])
    free = stack.fit_stack(logs, targets, Task.MULTI_LABEL, 1e-4)
    assert free.weights.min() < -0.1
    found = stack.fit_stack(logs, targets, Task.MULTI_LABEL, 1e-4, lowest=0.0)
    assert found.weights.min() >= 0
    general = minimize(
        _objective,
        np.full(9, 0.5),
        (logs, targets, Task.MULTI_LABEL, 1e-4),
        method="SLSQP",
        bounds=[(0, None)] * 6 + [(None, None)] * 3,
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    flat = np.concatenate([found.weights.ravel(), found.offsets])
    np.testing.assert_allclose(flat, general.x, atol=5e-3)


def test_fit_stack_of_a_strong_penalty_comes_to_uniform_averaging():
    logs, targets = _logs(Task.SINGLE_LABEL)
    infinite = stack.fit_stack(logs, targets, Task.SINGLE_LABEL, np.inf)
    assert np.all(infinite.weights == 1 / 3) and np.all(infinite.offsets == 0)
    strong = stack.fit_stack(logs, targets, Task.SINGLE_LABEL, 1e6)
    np.testing.assert_allclose(strong.weights, infinite.weights, atol=1e-5)


def test_best_penalty_of_unequal_networks_is_weak():
    unequal = _logs(Task.SINGLE_LABEL, noises=(0.6, 9.0, 9.0), rows=300)
    assert stack.best_penalty(*unequal, Task.SINGLE_LABEL) < 0.1


def test_best_penalty_where_uniform_averaging_is_the_truth_is_strong():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(2, 400, 3)) * 2
    p = probabilities(logits.mean(axis=0), Task.SINGLE_LABEL)
    targets = np.eye(3)[[generator.choice(3, p=row) for row in p]]
    logs = np.stack([LogLinear(Task.SINGLE_LABEL).represent(one) for one in logits])
    assert stack.best_penalty(logs, targets, Task.SINGLE_LABEL) >= 1


@pytest.mark.parametrize("name", ["stack", "stack_nonnegative"])
@pytest.mark.parametrize("task", Task)
def test_find_gives_combiners_whose_mean_is_the_regression(name, task):
    logs, targets = _logs(task, noises=(0.6, 1.0, 9.0))
    sample = Sample(lambda asked: logs, targets, LogLinear(task), "log_loss", 0, np.arange(90))
    found = WEIGHTINGS[name]().find(sample)
    lowest = 0.0 if name == "stack_nonnegative" else None
    penalty = stack.best_penalty(logs, targets, task, lowest=lowest)
    direct = stack.fit_stack(logs, targets, task, penalty, lowest=lowest)
    scores = np.einsum("mnc,mc->nc", logs, direct.weights) + direct.offsets
    np.testing.assert_allclose(sample.combine(found), probabilities(scores, task), atol=1e-12)
    assert found.shares.sum() == pytest.approx(1) and found.shares.min() >= 0
    sizes = np.abs(direct.weights).mean(axis=1)
    np.testing.assert_allclose(found.shares, sizes / sizes.sum())
    assert f"penalty {penalty:.3g}" in found.note


def test_penalties_go_from_ten_to_a_millionth_in_halves_of_a_decade():
    assert stack.PENALTIES[:3] == pytest.approx((10, 10**0.5, 1))
    assert len(stack.PENALTIES) == 15 and stack.PENALTIES[-1] == pytest.approx(1e-6)


def test_best_penalty_goes_on_after_one_that_does_not_help_and_ends_after_two(monkeypatch):
    losses = dict(zip(stack.PENALTIES, (0.9, 0.95, 0.8, 0.85, 0.9, 0.1), strict=False))
    tried = []

    def fit(logs, targets, task, penalty, **_):
        tried.append(penalty)
        return stack.Stacked(np.full((2, 3), penalty), np.zeros(3))

    monkeypatch.setattr(stack, "fit_stack", fit)
    # Of two networks that say 1 the score is twice the penalty; uniform averaging has 1.
    monkeypatch.setattr(
        stack,
        "row_losses",
        lambda scores, *_: np.full(len(scores), losses.get(float(scores[0, 0]) / 2, 1.0)),
    )
    found = stack.best_penalty(np.ones((2, 30, 3)), np.eye(3)[np.arange(30) % 3], "single_label")
    assert found == stack.PENALTIES[2] and set(tried) == set(stack.PENALTIES[:5])
