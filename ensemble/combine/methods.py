"""How the members' logits become the ensemble's probabilities: pure NumPy, one formula a method.

Throughout, z_m are the logits of member m divided by its temperature, w_m >= 0 its weight with
sum_m w_m = 1, and act is softmax over the classes (one-label tasks) or the sigmoid of each class
(many-label tasks):

    logits         p = act(sum_m w_m z_m)
    probabilities  p = sum_m w_m act(z_m)
    geometric      p = prod_m act(z_m)^w_m, rows scaled to sum 1 in one-label tasks (there it equals
                   `logits`, because the softmax's normaliser cancels)
    rank           p = sum_m w_m F_mc(act(z_m)_c): F_mc is the distribution of member m's
                   probabilities of class c over reference rows, so p is a mean quantile in 0..1
                   that only ranks (column-wise AUC); rows do not sum to 1. F is kept over the
                   log-odds of the probabilities: the same ranks, without their crowding at 0 and 1

Every method is `finish(mean of represent(z_m))`, which lets weight search average
representations and pay for the last step alone.
"""

from dataclasses import dataclass

import numpy as np

from orchard.formats import Task
from trainer.evaluation import probabilities as activate

METHODS = ("logits", "probabilities", "geometric", "rank")

_NUM_KNOTS = 257
_SMALLEST = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class RankReference:
    """Piecewise linear distribution functions, one per member and class.

    values: float64 [members, knots, classes], non-decreasing along knots: log-odds.
    levels: float64 of the same shape, 0..1: the share of reference rows below each value (equal
        values share their mean level, as tied ranks do).
    """

    values: np.ndarray
    levels: np.ndarray


@dataclass(frozen=True)
class Combination:
    """Everything between the members' logits and the ensemble's probabilities.

    method: one of METHODS. task: what the labels mean.
    weights: float64 [members], >= 0, sum 1.
    member_temperatures: float64 [members, 1] (one-label) or [members, classes] (many-label), > 0.
    temperature: float64 [1] or [classes]: divides the log-odds of the combined probabilities.
    reference: needed by the method `rank` alone.
    """

    method: str
    task: Task
    weights: np.ndarray
    member_temperatures: np.ndarray
    temperature: np.ndarray
    reference: RankReference | None = None

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Logits float [members, rows, classes] -> probabilities float64 [rows, classes]."""
        mean = 0.0
        for member, weight in enumerate(self.weights):
            scaled = logits[member].astype(np.float64) / self.member_temperatures[member]
            mean = mean + weight * represent(
                scaled, self.method, self.task, _member_reference(self.reference, member)
            )
        combined = finish(mean, self.method, self.task)
        if self.method == "rank":
            return combined
        return rescale(combined, self.temperature, self.task)


def normalized(weights: np.ndarray) -> np.ndarray:
    """Non-negative multipliers (the article's 2, 1, 1, 1) -> weights with sum 1, float64."""
    weights = np.asarray(weights, np.float64)
    return weights / weights.sum()


def represent(
    logits: np.ndarray, method: str, task: Task, reference: RankReference | None = None
) -> np.ndarray:
    """One member's (tempered) logits [rows, classes] in the space where `method` averages.

    reference: for `rank`, that member's alone (leading axis of length 1); without it the rows are
        ranked among themselves.
    """
    if method == "logits":
        return logits
    if method == "rank":
        odds = log_odds(logits, task)
        reference = reference or rank_reference(odds[np.newaxis])
        return quantiles(odds, reference.values[0], reference.levels[0])
    probabilities = activate(logits, task)
    if method == "probabilities":
        return probabilities
    return np.log(np.maximum(probabilities, _SMALLEST))


def finish(mean: np.ndarray, method: str, task: Task) -> np.ndarray:
    """Weighted mean of representations [rows, classes] -> probabilities float64."""
    if method == "logits":
        return activate(mean, task)
    if method == "geometric":
        return activate(mean, task) if task == Task.SINGLE_LABEL else np.exp(mean)
    return mean


def to_logits(probabilities: np.ndarray, task: Task) -> np.ndarray:
    """Probabilities -> logits float64 whose softmax (or sigmoid) gives them back."""
    logs = np.log(np.maximum(probabilities, _SMALLEST))
    if task == Task.SINGLE_LABEL:
        return logs
    return logs - np.log(np.maximum(1.0 - probabilities, np.finfo(np.float64).eps / 2))


def log_odds(logits: np.ndarray, task: Task) -> np.ndarray:
    """Logits [rows, classes] -> log(p / (1 - p)) of each class, exact where p is near 0 or 1."""
    if task == Task.MULTI_LABEL:
        return logits
    above = logits - logits.max(axis=1, keepdims=True)
    likeliest = above.argmax(axis=1)[:, np.newaxis]
    exponentials = np.exp(above)
    # Subtracting from the total is exact enough but for the class that makes up nearly all of it.
    others = exponentials.sum(axis=1, keepdims=True) - exponentials
    np.put_along_axis(exponentials, likeliest, 0.0, axis=1)
    np.put_along_axis(others, likeliest, exponentials.sum(axis=1, keepdims=True), axis=1)
    return above - np.log(np.maximum(others, _SMALLEST))


def rescale(probabilities: np.ndarray, temperature: np.ndarray, task: Task) -> np.ndarray:
    """Divide the logits of probabilities [rows, classes] by temperature [1] or [classes]."""
    if np.all(temperature == 1.0):
        return probabilities
    return activate(to_logits(probabilities, task) / temperature, task)


def rank_reference(odds: np.ndarray) -> RankReference:
    """Distribution functions of log-odds float [members, rows, classes], at most 257 knots each.

    The level of the i-th smallest of n values is i / (n - 1); with more rows than knots the
    quantiles at evenly spaced levels are kept.
    """
    rows = odds.shape[1]
    grid = np.linspace(0.0, 1.0, max(2, min(rows, _NUM_KNOTS)))
    values = np.moveaxis(np.quantile(odds, grid, axis=1), 0, 1)
    levels = np.empty_like(values)
    for member in range(values.shape[0]):
        for column in range(values.shape[2]):
            _, run, counts = np.unique(
                values[member, :, column], return_inverse=True, return_counts=True
            )
            levels[member, :, column] = (np.bincount(run, weights=grid) / counts)[run]
    return RankReference(values, levels)


def quantiles(odds: np.ndarray, values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Where log-odds [rows, classes] stand in distributions given by knots [knots, classes].

    Linear between knots, clipped outside them. Returns float64 in 0..1.
    """
    result = np.empty(odds.shape, np.float64)
    for column in range(odds.shape[1]):
        result[:, column] = np.interp(
            odds[:, column], *_distinct(values[:, column], levels[:, column])
        )
    return result


def _distinct(values: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, first = np.unique(values, return_index=True)
    return values, levels[first]


def _member_reference(reference: RankReference | None, member: int) -> RankReference | None:
    if reference is None:
        return None
    one = slice(member, member + 1)
    return RankReference(reference.values[one], reference.levels[one])
