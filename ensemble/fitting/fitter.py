"""From held-out logits to a `Combination`: temperatures, weights, then the last temperature."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ensemble.combine import Combination, Combiner, fit_temperature, rescale, to_logits
from ensemble.fitting.held_out import HeldOut
from ensemble.fitting.trials import AUTO, UNIFORM, LearnedWeights, learn_weights
from ensemble.fitting.weightings import WEIGHTINGS, Sample, Weights, uniform_weights
from ensemble.members import FoldGroup
from orchard.errors import OrchardError
from orchard.formats import Task


@dataclass(frozen=True)
class HeldOutPredictions:
    """The ensemble on the held-out rows.

    Attributes:
        held_out: the rows.
        probabilities: float64 [rows, classes].
        uncalibrated: the same weights without any temperature.
        sample: what the networks give on the rows, each divided by its temperature.
        weights: of the networks.
        temperatures: of the runs alone, float64 [runs, 1 or classes]; 1 without calibration.
        temperature: the last one, float64 [1] or [classes].
    """

    held_out: HeldOut
    probabilities: np.ndarray
    uncalibrated: np.ndarray
    sample: Sample
    weights: Weights
    temperatures: np.ndarray
    temperature: np.ndarray

    def representations(self) -> np.ndarray:
        """The networks, calibrated, where they are averaged: float64 [networks, rows, classes]."""
        return self.sample.represented(self.weights)

    def reweighed(self, shares: np.ndarray) -> np.ndarray:
        """The same ensemble with other shares, float64 [networks] with sum 1: [rows, classes]."""
        combined = self.sample.combine(replace(self.weights, shares=shares))
        return rescale(combined, self.temperature, self.sample.combiner.task)


@dataclass(frozen=True)
class Fit:
    """How an ensemble came to its weights and temperatures.

    Attributes:
        combination: all of it, applied to the members.
        network_weights: float64 [networks], sum 1.
        learned: how learned weights came about; None for weights that were given.
        out_of_fold: the ensemble on the held-out rows; None without them.
    """

    combination: Combination
    network_weights: np.ndarray
    learned: LearnedWeights | None = None
    out_of_fold: HeldOutPredictions | None = None

    def uncalibrated(self, logits: np.ndarray) -> np.ndarray:
        """The same weights without any temperature: float64 [rows, classes]."""
        plain = replace(
            self.combination,
            member_temperatures=np.ones_like(self.combination.member_temperatures),
            temperature=np.ones_like(self.combination.temperature),
        )
        return plain(logits)


def parse_weights(text: str, networks: Sequence[FoldGroup]) -> np.ndarray | None:
    """`--weights` -> float64 [networks] with sum 1, or None for those that are learned.

    Raises:
        OrchardError: no way to find weights, and not one non-negative number for each network.
    """
    if text == UNIFORM:
        return uniform_weights(len(networks))
    if is_learned(text):
        return None
    numbers = weight_numbers(text)
    if len(numbers) != len(networks):
        raise OrchardError(
            f"--weights={text} has {len(numbers)} values for {len(networks)} networks "
            f"({', '.join(network.name for network in networks)}); folds of one network share one"
        )
    return numbers / numbers.sum()


def is_learned(weights: str) -> bool:
    """Whether what `--weights` says is found on held-out rows."""
    return weights != UNIFORM and (weights == AUTO or weights in WEIGHTINGS)


def weight_numbers(text: str) -> np.ndarray:
    """The numbers of `--weights=2,1,1,1`, float64.

    Raises:
        OrchardError: they are no weights.
    """
    try:
        numbers = np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise OrchardError(
            f"--weights={text}: give {', '.join(WEIGHTINGS)}, {AUTO}, or numbers such as 2,1,1,1"
        ) from None
    if not all(0 <= n < float("inf") for n in numbers) or sum(numbers) == 0:
        raise OrchardError(f"--weights={text}: weights must be >= 0, finite and not all 0")
    return numbers


def fit_combination(
    logits: np.ndarray,
    networks: Sequence[FoldGroup],
    held_out: HeldOut | None,
    *,
    combiner: Combiner,
    weights: np.ndarray | None,
    weightings: Sequence[str] = (),
    calibrate: bool,
    metric: str,
    seed: int = 0,
    vouched_by: Sequence[tuple[int, ...]] | None = None,
) -> Fit:
    """Everything that an ensemble learns.

    Args:
        logits: float32 [members, rows, classes] of the split to predict.
        networks: which members make up which network.
        held_out: rows to fit on; needed for learned weights and for calibration.
        combiner: how members are combined.
        weights: float64 [networks] with sum 1, or None: learn them.
        weightings: the ways to learn them by, as `weighting_names` gives them.
        calibrate: fit temperatures, one a member before averaging and one after.
        metric: the trainer's metric that learned weights are judged by.
        seed: of the guard's parts and draws.
        vouched_by: for each member the runs of `held_out` whose rows its temperature is fitted on;
            None: the members are those runs.
    """
    task = combiner.task
    num_temperatures = 1 if task == Task.SINGLE_LABEL else logits.shape[2]
    temperatures = np.ones((len(logits), num_temperatures))
    temperature = np.ones(num_temperatures)
    learned = out_of_fold = None
    found = None if weights is None else Weights(weights)
    if held_out is not None:
        alone = [(run,) for run in range(len(held_out.logits))]
        of_runs = np.ones((len(alone), num_temperatures))
        sample = plain = _sample(held_out, of_runs, combiner, metric, seed)
        if calibrate:
            fitted = _temperatures(held_out, {*alone, *(vouched_by or alone)}, task)
            of_runs = np.stack([fitted[run] for run in alone])
            temperatures = np.stack([fitted[runs] for runs in vouched_by or alone])
            sample = _sample(held_out, of_runs, combiner, metric, seed)
        if found is None:
            learned = learn_weights(sample, weightings)
            found = learned.weights
        probabilities = sample.combine(found)
        if calibrate:
            temperature = fit_temperature(to_logits(probabilities, task), held_out.targets, task)
            probabilities = rescale(probabilities, temperature, task)
        out_of_fold = HeldOutPredictions(
            held_out, probabilities, plain.combine(found), sample, found, of_runs, temperature
        )
    elif found is None or calibrate:
        raise ValueError("weights and temperatures are learned on held-out rows; there are none")
    combination = Combination(
        _member_combiners(found, networks, logits, temperatures, combiner),
        _member_weights(found.shares, networks, len(logits)),
        temperatures,
        temperature,
    )
    return Fit(combination, found.shares, learned, out_of_fold)


def _sample(
    held_out: HeldOut, temperatures: np.ndarray, combiner: Combiner, metric: str, seed: int
) -> Sample:
    """The held-out rows; what a combiner averages is computed once, when it is asked for."""
    known: dict[type[Combiner], np.ndarray] = {}

    def represent(asked: Combiner) -> np.ndarray:
        if type(asked) not in known:
            known[type(asked)] = held_out.representations(temperatures, asked)
        return known[type(asked)]

    rows = np.arange(len(held_out.ids))
    return Sample(represent, held_out.targets, combiner, metric, seed, rows)


def _member_combiners(
    found: Weights,
    networks: Sequence[FoldGroup],
    logits: np.ndarray,
    temperatures: np.ndarray,
    combiner: Combiner,
) -> tuple[Combiner, ...]:
    """One a member: those of its network, or `combiner` with what it may know of its logits."""
    if found.combiners is not None:
        own = zip(networks, found.combiners, strict=True)
        of_member = {member: one for network, one in own for member in network.members}
        return tuple(of_member[member] for member in range(len(logits)))
    return tuple(
        combiner.fitted_to(one.astype(np.float64) / own)
        for one, own in zip(logits, temperatures, strict=True)
    )


def _temperatures(
    held_out: HeldOut, groups: Iterable[tuple[int, ...]], task: Task
) -> dict[tuple[int, ...], np.ndarray]:
    """The temperatures of groups of runs, each fitted on all of their rows at once.

    A refit takes that of its folds together: a mean of theirs would follow one small fold that its
    network separates perfectly, and so has no finite temperature.
    """
    return {
        group: fit_temperature(
            np.concatenate([held_out.logits[run] for run in group]),
            held_out.targets[np.concatenate([held_out.rows[run] for run in group])],
            task,
        )
        for group in groups
    }


def _member_weights(
    network_weights: np.ndarray, networks: Sequence[FoldGroup], num_members: int
) -> np.ndarray:
    """Divide each network's weight equally among its members: float64 [members], sum 1."""
    weights = np.zeros(num_members)
    for weight, network in zip(network_weights, networks, strict=True):
        weights[list(network.members)] = weight / len(network.members)
    return weights
