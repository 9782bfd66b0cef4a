"""Learned weights: greedy forward selection with replacement, and whether to trust it.

Selection: Caruana et al. 2004, "Ensemble Selection from Libraries of Models": start empty, add
again and again the network (the same may come back) whose addition gives the best score of the
average, and keep the best prefix. A network's weight is its share of the picks. Ties are broken as
AutoGluon's `EnsembleSelection` does: a network already in the ensemble first, then the second
metric, then the first in order (AutoGluon draws there).

Trust: weights fitted on the rows that judge them always look good. `guard` therefore fits on all
rows but one part, combines that part with those weights, and bootstraps the gain over uniform
weights on rows that no fit has seen.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ensemble.scoring import difference_interval
from orchard.formats import Task

DEFAULT_ROUNDS = 25
# AutoGluon's constants: equal predictions must tie in spite of float noise.
_ROUNDED_DECIMALS = 6
_ROUND_ABOVE = 1e-4
_TIE_TOLERANCE = 1e-12

Regret = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Selection:
    """What greedy selection picked.

    Attributes:
        order: networks in the order picked, up to the best prefix.
        trajectory: the regret (lower is better) after each pick.
        weights: float64 [networks], sum 1.
    """

    order: tuple[int, ...]
    trajectory: tuple[float, ...]
    weights: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """Whether learned weights beat uniform ones on rows that they were not fitted on.

    Attributes:
        trusted: low > 0.
        gain: score with learned weights minus score with uniform ones, signed so that > 0 is
            better.
        low: lower end of the gain's percentile bootstrap interval.
        high: upper end.
        confidence: of the interval.
        num_parts: how many fits there were, each without one part of the rows.
    """

    trusted: bool
    gain: float
    low: float
    high: float
    confidence: float
    num_parts: int


def greedy_selection(
    representations: np.ndarray,
    regret: Regret,
    second_regret: Regret | None = None,
    rounds: int = DEFAULT_ROUNDS,
) -> Selection:
    """Pick networks greedily so that the average of their representations scores best.

    Args:
        representations: float [networks, rows, classes], in the space where the method averages.
        regret: average of representations [rows, classes] -> what to minimize.
        second_regret: breaks ties, likewise.
        rounds: how many picks to try; the best prefix of them is kept.
    """
    total = np.zeros(representations.shape[1:])
    order: list[int] = []
    trajectory: list[float] = []
    rounded = False
    for size in range(1, (1 if len(representations) == 1 else rounds) + 1):
        regrets = np.array([regret((total + one) / size) for one in representations])
        if rounded:
            regrets = regrets.round(_ROUNDED_DECIMALS)
        candidates = _prefer_used(_lowest(regrets), order)
        if len(candidates) > 1 and second_regret is not None:
            seconds = [second_regret((total + representations[j]) / size) for j in candidates]
            candidates = candidates[_lowest(np.array(seconds))]
        best = int(candidates[0])
        best_regret = float(regrets[best])
        if size == 1 and abs(best_regret) > _ROUND_ABOVE:
            rounded, best_regret = True, round(best_regret, _ROUNDED_DECIMALS)
        total = total + representations[best]
        order.append(best)
        trajectory.append(best_regret)
    kept = int(np.argmin(trajectory)) + 1
    counts = np.bincount(order[:kept], minlength=len(representations))
    return Selection(tuple(order[:kept]), tuple(trajectory[:kept]), counts / kept)


def guard(
    fit: Callable[[np.ndarray], np.ndarray],
    combine: Callable[[np.ndarray, np.ndarray], np.ndarray],
    metric: str,
    targets: np.ndarray,
    task: Task,
    num_networks: int,
    *,
    seed: int = 0,
    num_parts: int = 5,
    confidence: float = 0.95,
) -> Verdict:
    """Judge learned weights against uniform ones on rows that they were not fitted on.

    Args:
        fit: row indices -> weights [networks] learned on those rows.
        combine: (weights, row indices) -> probabilities [those rows, classes].
        metric: the trainer's name of the metric that the weights were fitted for.
        targets: float [rows, classes].
        task: what the labels mean.
        num_networks: how many networks the weights are for.
        seed: of the parts and of the bootstrap.
        num_parts: how many fits, each leaving one part of the rows out.
        confidence: of the interval.
    """
    rows = np.arange(len(targets))
    uniform = np.full(num_networks, 1.0 / num_networks)
    learned = np.empty(targets.shape)
    parts = spread_parts(targets, num_parts, seed)
    # Seconds on usual sizes; with many networks and images it wants a bar.
    for part in tqdm(range(num_parts), desc="checking weights", delay=5, leave=False):
        left_out = np.flatnonzero(parts == part)
        learned[left_out] = combine(fit(np.flatnonzero(parts != part)), left_out)
    gain, low, high = difference_interval(
        metric, learned, combine(uniform, rows), targets, task, seed=seed, confidence=confidence
    )
    return Verdict(bool(low > 0), gain, low, high, confidence, num_parts)


def spread_parts(targets: np.ndarray, num_parts: int, seed: int) -> np.ndarray:
    """The part of each row, int64 [rows]: parts of equal size, with every class in all of them."""
    # Dealing out rows sorted by their labels keeps every class spread over the parts, rare or not.
    _, stratum = np.unique(targets >= 0.5, axis=0, return_inverse=True)
    order = np.lexsort((np.random.default_rng(seed).random(len(targets)), stratum.ravel()))
    parts = np.empty(len(targets), int)
    parts[order] = np.arange(len(targets)) % num_parts
    return parts


def _lowest(regrets: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isclose(regrets, regrets.min(), rtol=_TIE_TOLERANCE, atol=0.0))


def _prefer_used(candidates: np.ndarray, order: list[int]) -> np.ndarray:
    used = candidates[np.isin(candidates, order)]
    return used if len(used) else candidates
