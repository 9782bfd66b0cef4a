"""`--weights=stack`: logistic regression on the networks' log-probabilities.

Wolpert 1992, "Stacked Generalization", with the smallest step beyond averaging: class c scores
offset_c + sum over networks m of weight_mc x log p_mc, and the softmax of the scores (for many
labels the sigmoid, with log-odds in place of log p) is the prediction. Everything is pulled toward
uniform averaging, which is weight_mc = 1 / networks and offset_c = 0: the loss to minimize is

    mean log loss + penalty x sum over m of (mean_c weight_mc - 1 / networks)^2
        + penalty x STIFFNESS x (sum over m of var_c weight_mc + mean_c offset_c^2)

so that what all classes share is learned long before what is one class's own, and an infinite
penalty leaves the mean of logits. The penalty is the one of the least log loss in cross-validation,
infinity included. The loss is convex, and L-BFGS finds its only minimum.
"""

import functools
import importlib
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from ensemble.combine import LogLinear
from ensemble.fitting.parts import spread_parts
from ensemble.fitting.weightings.weighting import (
    WEIGHTINGS,
    Sample,
    Weighting,
    Weights,
    uniform_weights,
)
from orchard.formats import Task
from orchard.lazy import lazy_import
from trainer.evaluation import row_losses

if TYPE_CHECKING:
    from scipy import optimize, special
else:
    optimize = lazy_import("scipy.optimize")
    special = lazy_import("scipy.special")

# How much harder it is to pull classes apart than to weigh networks. Of 1, 10, 100 and infinity it
# is the one that lost the least where another was better: 1 was on photos of solar cells (by 2 %
# of the log loss), infinity on digits (by 4 %, where 1 lost 25 %).
STIFFNESS = 100.0
# From strong to weak; the search ends where two in a row have not helped.
PENALTIES = tuple(float(10.0 ** (half / 2)) for half in range(2, -13, -1))
_PATIENCE = 2
_NUM_PARTS = 5
# The penalty is searched on so many rows at most.
_MAX_ROWS_TO_SEARCH = 20_000


class Stacked(NamedTuple):
    """A fitted regression.

    Attributes:
        weights: float64 [networks, classes].
        offsets: float64 [classes].
    """

    weights: np.ndarray
    offsets: np.ndarray


@WEIGHTINGS.register("stack")
class Stack(Weighting):
    """A weight for each network and class; some may be below 0."""

    complexity: ClassVar[int | None] = 2
    combines = ("logits",)
    lowest: ClassVar[float | None] = None

    def find(self, sample: Sample) -> Weights:
        """Search the penalty, then fit with it on all rows."""
        logs, targets, task = sample.log_probabilities, sample.targets, sample.combiner.task
        penalty = best_penalty(logs, targets, task, lowest=self.lowest, seed=sample.seed)
        stacked = fit_stack(logs, targets, task, penalty, lowest=self.lowest)
        note = (
            "no penalty is too strong, which leaves uniform averaging"
            if np.isinf(penalty)
            else f"penalty {penalty:.3g} by cross-validation"
        )
        shares = np.abs(stacked.weights).mean(axis=1)
        if not shares.sum():
            shares = uniform_weights(len(shares))
        shares = shares / shares.sum()
        # A mean is taken over networks, weighted by shares: what has none adds nothing to it.
        combiners = tuple(
            LogLinear(task, weights / share if share else weights, stacked.offsets)
            for weights, share in zip(stacked.weights, shares, strict=True)
        )
        return Weights(shares, combiners, note)


@WEIGHTINGS.register("stack_nonnegative")
class StackNonnegative(Stack):
    """As `stack`, with no weight below 0: networks that harm are left out."""

    complexity = None
    lowest = 0.0


def best_penalty(
    logs: np.ndarray,
    targets: np.ndarray,
    task: Task,
    *,
    lowest: float | None = None,
    seed: int = 0,
) -> float:
    """The penalty of the least log loss on rows that were not fitted on; infinity: uniform.

    Args:
        logs: log-probabilities, or log-odds of many labels, float64 [networks, rows, classes].
        targets: float [rows, classes].
        task: what the labels mean.
        lowest: what no weight may be below; None: anything.
        seed: of the parts, and of the rows where there are very many.
    """
    generator = np.random.default_rng([seed, 1])
    if len(targets) > _MAX_ROWS_TO_SEARCH:
        rows = np.sort(generator.choice(len(targets), _MAX_ROWS_TO_SEARCH, replace=False))
        logs, targets = logs[:, rows], targets[rows]
    parts = spread_parts(targets, _NUM_PARTS, int(generator.integers(2**32)))
    kept = [np.flatnonzero(parts != part) for part in range(_NUM_PARTS)]
    found: list[Stacked | None] = [None] * _NUM_PARTS
    best, least, waited = np.inf, _log_loss(logs, targets, task, _uniform(logs)), 0
    for penalty in PENALTIES:
        losses = np.empty(len(targets))
        for part, rows in enumerate(kept):
            # Each starts where the stronger penalty has ended: the path is short.
            found[part] = fitted = fit_stack(
                logs[:, rows], targets[rows], task, penalty, lowest=lowest, start=found[part]
            )
            out = np.flatnonzero(parts == part)
            losses[out] = row_losses(_scores(logs[:, out], fitted), targets[out], task)
        waited += 1
        if losses.mean() < least:
            best, least, waited = penalty, float(losses.mean()), 0
        if waited == _PATIENCE:
            break
    return best


def fit_stack(
    logs: np.ndarray,
    targets: np.ndarray,
    task: Task,
    penalty: float,
    *,
    lowest: float | None = None,
    start: Stacked | None = None,
) -> Stacked:
    """The minimum of the penalized loss; arguments as of `best_penalty`.

    Args:
        logs: log-probabilities, or log-odds of many labels, float64 [networks, rows, classes].
        targets: float [rows, classes].
        task: what the labels mean.
        penalty: above 0; infinity leaves uniform averaging.
        lowest: what no weight may be below; None: anything.
        start: near to the minimum, where one is known.
    """
    uniform = _uniform(logs)
    if np.isinf(penalty):
        return uniform
    num_networks, num_rows, num_classes = logs.shape
    shape, at = uniform.weights.shape, uniform.weights.size
    targets = np.asarray(targets, np.float64)
    mass = targets.sum(axis=1, keepdims=True)

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        stacked = Stacked(flat[:at].reshape(shape), flat[at:])
        scores = _scores(logs, stacked)
        if task == Task.SINGLE_LABEL:
            logs_of_scores = special.log_softmax(scores, axis=1)
            loss = -float((targets * logs_of_scores).sum()) / num_rows
            slope = (np.exp(logs_of_scores) * mass - targets) / num_rows
        else:
            # log(1 - sigmoid(s)) is log(sigmoid(s)) - s.
            loss = -float((special.log_expit(scores) - (1 - targets) * scores).mean())
            slope = (special.expit(scores) - targets) / scores.size
        by_weight = np.einsum("mnc,nc->mc", logs, slope)
        means = stacked.weights.mean(axis=1, keepdims=True)
        apart, shift = stacked.weights - means, means - 1.0 / num_networks
        loss += penalty * float((shift**2).sum())
        loss += (
            penalty
            * STIFFNESS
            * float((apart**2).sum() + (stacked.offsets**2).sum())
            / (num_classes)
        )
        by_weight += 2 * penalty * (shift + STIFFNESS * apart) / num_classes
        by_offset = slope.sum(axis=0) + 2 * penalty * STIFFNESS * stacked.offsets / num_classes
        return loss, np.concatenate([by_weight.ravel(), by_offset])

    first = uniform if start is None else start
    bounds = None
    if lowest is not None:
        bounds = [(lowest, None)] * at + [(None, None)] * num_classes
    # L-BFGS asks BLAS for products of a hundred numbers: its threads would wait for each other
    # thirty times as long as that takes.
    with _threads().limit(limits=1, user_api="blas"):
        found = optimize.minimize(
            loss_and_gradient,
            np.concatenate([first.weights.ravel(), first.offsets]),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7},
        )
    return Stacked(found.x[:at].reshape(shape), found.x[at:])


@functools.cache
def _threads() -> ThreadpoolController:
    importlib.import_module("scipy.optimize")  # It holds what is loaded by now.
    return ThreadpoolController()


def _uniform(logs: np.ndarray) -> Stacked:
    num_networks, _, num_classes = logs.shape
    return Stacked(np.full((num_networks, num_classes), 1.0 / num_networks), np.zeros(num_classes))


def _scores(logs: np.ndarray, stacked: Stacked) -> np.ndarray:
    """Float64 [rows, classes]."""
    return np.einsum("mnc,mc->nc", logs, stacked.weights) + stacked.offsets


def _log_loss(logs: np.ndarray, targets: np.ndarray, task: Task, stacked: Stacked) -> float:
    return float(row_losses(_scores(logs, stacked), targets, task).mean())
