"""`--weights=greedy`: forward selection with replacement.

Caruana et al. 2004, "Ensemble Selection from Libraries of Models": start empty, add again and again
the network (the same may come back) whose addition gives the best score of the average, and keep
the best prefix. A network's weight is its share of the picks. Ties are broken as AutoGluon's
`EnsembleSelection` does: a network already in the ensemble first, then the second metric, then the
first in order (AutoGluon draws there).
"""

from collections.abc import Callable

import numpy as np

from ensemble.fitting.weightings.weighting import (
    WEIGHTINGS,
    Sample,
    Selection,
    Weighting,
    Weights,
)
from ensemble.scoring import regret
from orchard.errors import OrchardError

DEFAULT_ROUNDS = 25
# AutoGluon's constants: equal predictions must tie in spite of float noise.
_ROUNDED_DECIMALS = 6
_ROUND_ABOVE = 1e-4
_TIE_TOLERANCE = 1e-12

Regret = Callable[[np.ndarray], float]


@WEIGHTINGS.register("greedy")
class Greedy(Weighting):
    """Shares of the picks, for any metric."""

    complexity = 1

    def find(self, sample: Sample) -> Weights:
        """Pick networks whose average is the best by the sample's metric."""
        selection = greedy_selection(
            sample.representations,
            _regret(sample, sample.metric),
            _regret(sample, "log_loss") if sample.combiner.gives_probabilities else None,
        )
        picks = len(selection.order)
        note = f"{picks} pick{'s' if picks > 1 else ''} for {sample.metric}"
        return Weights(selection.weights, note=note, selection=selection)


def _regret(sample: Sample, metric: str) -> Regret:
    targets, combiner = sample.targets, sample.combiner

    def regret_of(mean: np.ndarray) -> float:
        value = regret(metric, combiner.finish(mean), targets, combiner.task)
        if np.isnan(value):
            raise OrchardError(
                f"--weights=greedy: {metric} has no value on {len(targets)} of the "
                f"{len(sample.all_targets)} held-out images, because no class is there in some of "
                "them and absent in others; use --weights=uniform or another --metric"
            )
        return value

    return regret_of


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


def _lowest(regrets: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isclose(regrets, regrets.min(), rtol=_TIE_TOLERANCE, atol=0.0))


def _prefer_used(candidates: np.ndarray, order: list[int]) -> np.ndarray:
    used = candidates[np.isin(candidates, order)]
    return used if len(used) else candidates
