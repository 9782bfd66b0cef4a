"""From held-out logits to a `Combination`: temperatures, weights, then the last temperature."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ensemble.combine import (
    Combination,
    finish,
    fit_temperature,
    log_odds,
    normalized,
    rank_reference,
    rescale,
    to_logits,
)
from ensemble.fitting.held_out import HeldOut
from ensemble.fitting.weights import Selection, Verdict, greedy_selection, guard
from ensemble.members import Network
from ensemble.scoring import scores
from orchard.errors import OrchardError
from orchard.formats import Task

_MIN_ROWS_TO_LEARN = 20


@dataclass(frozen=True)
class Fit:
    """How an ensemble came to its weights and temperatures.

    network_weights: float64 [networks], sum 1. selection, verdict: of greedy weights, else None.
    out_of_fold: the ensemble's probabilities float64 [rows, classes] on the held-out rows, None
        without them.
    """

    combination: Combination
    network_weights: np.ndarray
    selection: Selection | None
    verdict: Verdict | None
    out_of_fold: np.ndarray | None

    def uncalibrated(self, logits: np.ndarray) -> np.ndarray:
        """The same weights without any temperature: float64 [rows, classes]."""
        plain = replace(
            self.combination,
            member_temperatures=np.ones_like(self.combination.member_temperatures),
            temperature=np.ones_like(self.combination.temperature),
        )
        return plain(logits)


def parse_weights(text: str, networks: Sequence[Network]) -> np.ndarray | None:
    """`--weights` -> float64 [networks] with sum 1, or None for `greedy`.

    Raises:
        OrchardError: not uniform, greedy or one non-negative number for each network.
    """
    if text == "greedy":
        return None
    if text == "uniform":
        return normalized(np.ones(len(networks)))
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise OrchardError(
            f"--weights={text} must be uniform, greedy or numbers such as 2,1,1,1"
        ) from None
    if len(numbers) != len(networks):
        raise OrchardError(
            f"--weights={text} has {len(numbers)} values for {len(networks)} networks "
            f"({', '.join(network.name for network in networks)}); folds of one network share one"
        )
    if not all(0 <= n < float("inf") for n in numbers) or sum(numbers) == 0:
        raise OrchardError(f"--weights={text}: weights must be >= 0, finite and not all 0")
    return normalized(numbers)


def fit_combination(
    logits: np.ndarray,
    networks: Sequence[Network],
    held_out: HeldOut | None,
    *,
    method: str,
    task: Task,
    weights: np.ndarray | None,
    calibrate: bool,
    metric: str,
    seed: int = 0,
) -> Fit:
    """Everything that an ensemble learns.

    Args:
        logits: float32 [members, rows, classes] of the split to predict (ranks refer to it).
        networks: which members make up which network.
        held_out: rows to fit on; needed for greedy weights and for calibration.
        method: one of `combine.METHODS`.
        task: what the labels mean.
        weights: float64 [networks] with sum 1, or None: learn them.
        calibrate: fit temperatures, one a member before averaging and one after.
        metric: the trainer's metric that greedy weights are fitted for.
        seed: of the guard's parts and draws.
    """
    temperatures = _temperatures(logits, held_out if calibrate else None, task)
    representations = selection = verdict = out_of_fold = None
    if held_out is not None:
        representations = held_out.representations(temperatures, method, task)
    if weights is None:
        weights, selection, verdict = _learn(
            representations, held_out.targets, method, task, metric, seed
        )
    last = np.ones(temperatures.shape[1])
    if held_out is not None:
        out_of_fold = finish(np.tensordot(weights, representations, axes=1), method, task)
    if calibrate:
        last = fit_temperature(to_logits(out_of_fold, task), held_out.targets, task)
        out_of_fold = rescale(out_of_fold, last, task)
    combination = Combination(
        method,
        task,
        member_weights(weights, networks, len(logits)),
        temperatures,
        last,
        _reference(logits, temperatures, task) if method == "rank" else None,
    )
    return Fit(combination, weights, selection, verdict, out_of_fold)


def _temperatures(logits: np.ndarray, held_out: HeldOut | None, task: Task) -> np.ndarray:
    """One row a member; ones without rows to fit on."""
    num_members, _, num_classes = logits.shape
    temperatures = np.ones((num_members, 1 if task == Task.SINGLE_LABEL else num_classes))
    if held_out is None:
        return temperatures
    for member, (rows, own) in enumerate(zip(held_out.rows, held_out.logits, strict=True)):
        temperatures[member] = fit_temperature(own, held_out.targets[rows], task)
    return temperatures


def member_weights(
    network_weights: np.ndarray, networks: Sequence[Network], num_members: int
) -> np.ndarray:
    """Divide each network's weight equally among its members: float64 [members], sum 1."""
    weights = np.zeros(num_members)
    for weight, network in zip(network_weights, networks, strict=True):
        weights[list(network.members)] = weight / len(network.members)
    return weights


def _learn(
    representations: np.ndarray,
    targets: np.ndarray,
    method: str,
    task: Task,
    metric: str,
    seed: int,
) -> tuple[np.ndarray, Selection, Verdict | None]:
    """Greedy weights where they are trusted, uniform ones elsewhere."""

    def regret_on(rows: np.ndarray, which: str):
        def regret(mean: np.ndarray) -> float:
            value = scores.regret(which, finish(mean, method, task), targets[rows], task)
            if np.isnan(value):
                raise OrchardError(
                    f"--weights=greedy: {which} has no value on {len(rows)} of the {len(targets)} "
                    "held-out images, because no class is there in some of them and absent in "
                    "others; use --weights=uniform or another --metric"
                )
            return value

        return regret

    def select(rows: np.ndarray) -> Selection:
        return greedy_selection(
            representations[:, rows],
            regret_on(rows, metric),
            None if method == "rank" else regret_on(rows, "log_loss"),
        )

    def combine(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return finish(np.tensordot(weights, representations[:, rows], axes=1), method, task)

    num_networks, num_rows = representations.shape[:2]
    selection = select(np.arange(num_rows))
    if num_networks == 1:
        return selection.weights, selection, None
    if num_rows < _MIN_ROWS_TO_LEARN:
        raise OrchardError(
            f"--weights=greedy has {num_rows} held-out images, fewer than {_MIN_ROWS_TO_LEARN}: "
            "nothing can be learned from them; use --weights=uniform"
        )
    verdict = guard(
        lambda rows: select(rows).weights, combine, metric, targets, task, num_networks, seed=seed
    )
    if verdict.trusted:
        return selection.weights, selection, verdict
    return np.full(num_networks, 1.0 / num_networks), selection, verdict


def _reference(logits: np.ndarray, temperatures: np.ndarray, task: Task):
    return rank_reference(
        np.stack([log_odds(one / t, task) for one, t in zip(logits, temperatures, strict=True)])
    )
