"""From held-out logits to a `Combination`: temperatures, weights, then the last temperature."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ensemble.combine import Combination, Combiner, fit_temperature, rescale, to_logits
from ensemble.fitting.held_out import HeldOut
from ensemble.fitting.weights import Selection, Verdict, greedy_selection, guard
from ensemble.members import FoldGroup
from ensemble.scoring import regret
from orchard.errors import OrchardError
from orchard.formats import Task

_MIN_ROWS_TO_LEARN = 20


@dataclass(frozen=True)
class LearnedWeights:
    """Greedy weights, and whether they are worth anything.

    Attributes:
        selection: what greedy selection picked.
        verdict: on rows that no fit has seen; None where there is nothing to choose from.
    """

    selection: Selection
    verdict: Verdict | None

    @property
    def trusted(self) -> bool:
        """Whether they are used: a gain over uniform weights that may be chance is not."""
        return self.verdict is None or self.verdict.trusted

    @property
    def weights(self) -> np.ndarray:
        """What is used: float64 [networks], sum 1."""
        return self.selection.weights if self.trusted else _uniform(len(self.selection.weights))


@dataclass(frozen=True)
class HeldOutPredictions:
    """The ensemble on the held-out rows.

    Attributes:
        held_out: the rows.
        probabilities: float64 [rows, classes].
        uncalibrated: the same weights without any temperature.
        temperatures: float64 [runs of `held_out`, 1 or classes].
    """

    held_out: HeldOut
    probabilities: np.ndarray
    uncalibrated: np.ndarray
    temperatures: np.ndarray

    def representations(self, combiner: Combiner) -> np.ndarray:
        """The networks, calibrated, where they are averaged: float64 [networks, rows, classes]."""
        return self.held_out.representations(self.temperatures, combiner)


@dataclass(frozen=True)
class Fit:
    """How an ensemble came to its weights and temperatures.

    Attributes:
        combination: all of it, applied to the members.
        network_weights: float64 [networks], sum 1.
        learned: how greedy weights came about; None for weights that were given.
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
    """`--weights` -> float64 [networks] with sum 1, or None for `greedy`.

    Raises:
        OrchardError: not uniform, greedy or one non-negative number for each network.
    """
    if text == "greedy":
        return None
    if text == "uniform":
        return _uniform(len(networks))
    numbers = weight_numbers(text)
    if len(numbers) != len(networks):
        raise OrchardError(
            f"--weights={text} has {len(numbers)} values for {len(networks)} networks "
            f"({', '.join(network.name for network in networks)}); folds of one network share one"
        )
    return numbers / numbers.sum()


def weight_numbers(text: str) -> np.ndarray:
    """The numbers of `--weights=2,1,1,1`, float64.

    Raises:
        OrchardError: they are no weights.
    """
    try:
        numbers = np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise OrchardError(
            f"--weights={text}: give uniform, greedy or numbers such as 2,1,1,1"
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
    calibrate: bool,
    metric: str,
    seed: int = 0,
    vouched_by: Sequence[tuple[int, ...]] | None = None,
) -> Fit:
    """Everything that an ensemble learns.

    Args:
        logits: float32 [members, rows, classes] of the split to predict.
        networks: which members make up which network.
        held_out: rows to fit on; needed for greedy weights and for calibration.
        combiner: how members are combined.
        weights: float64 [networks] with sum 1, or None: learn them.
        calibrate: fit temperatures, one a member before averaging and one after.
        metric: the trainer's metric that greedy weights are fitted for.
        seed: of the guard's parts and draws.
        vouched_by: for each member the runs of `held_out` whose rows its temperature is fitted on;
            None: the members are those runs.
    """
    task = combiner.task
    num_temperatures = 1 if task == Task.SINGLE_LABEL else logits.shape[2]
    temperatures = np.ones((len(logits), num_temperatures))
    temperature = np.ones(num_temperatures)
    learned = out_of_fold = None
    if held_out is not None:
        alone = [(run,) for run in range(len(held_out.logits))]
        of_runs = np.ones((len(alone), num_temperatures))
        representations = plain = held_out.representations(of_runs, combiner)
        if calibrate:
            fitted = _temperatures(held_out, {*alone, *(vouched_by or alone)}, task)
            of_runs = np.stack([fitted[run] for run in alone])
            temperatures = np.stack([fitted[runs] for runs in vouched_by or alone])
            representations = held_out.representations(of_runs, combiner)
        if weights is None:
            learned = _learn_weights(representations, held_out.targets, combiner, metric, seed)
            weights = learned.weights
        probabilities = combiner.finish(np.tensordot(weights, representations, axes=1))
        if calibrate:
            temperature = fit_temperature(to_logits(probabilities, task), held_out.targets, task)
            probabilities = rescale(probabilities, temperature, task)
        uncalibrated = combiner.finish(np.tensordot(weights, plain, axes=1))
        out_of_fold = HeldOutPredictions(held_out, probabilities, uncalibrated, of_runs)
    elif weights is None or calibrate:
        raise ValueError("weights and temperatures are learned on held-out rows; there are none")
    combination = Combination(
        tuple(
            combiner.fitted_to(one.astype(np.float64) / own)
            for one, own in zip(logits, temperatures, strict=True)
        ),
        _member_weights(weights, networks, len(logits)),
        temperatures,
        temperature,
    )
    return Fit(combination, weights, learned, out_of_fold)


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


def _learn_weights(
    representations: np.ndarray, targets: np.ndarray, combiner: Combiner, metric: str, seed: int
) -> LearnedWeights:
    """Greedy weights for representations [networks, rows, classes], and a verdict on them."""

    def regret_on(rows: np.ndarray, which: str) -> Callable[[np.ndarray], float]:
        def regret_of(mean: np.ndarray) -> float:
            value = regret(which, combiner.finish(mean), targets[rows], combiner.task)
            if np.isnan(value):
                raise OrchardError(
                    f"--weights=greedy: {which} has no value on {len(rows)} of the {len(targets)} "
                    "held-out images, because no class is there in some of them and absent in "
                    "others; use --weights=uniform or another --metric"
                )
            return value

        return regret_of

    def select(rows: np.ndarray) -> Selection:
        return greedy_selection(
            representations[:, rows],
            regret_on(rows, metric),
            regret_on(rows, "log_loss") if combiner.gives_probabilities else None,
        )

    def combine(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return combiner.finish(np.tensordot(weights, representations[:, rows], axes=1))

    num_networks, num_rows = representations.shape[:2]
    selection = select(np.arange(num_rows))
    if num_networks == 1:
        return LearnedWeights(selection, None)
    if num_rows < _MIN_ROWS_TO_LEARN:
        raise OrchardError(
            f"--weights=greedy has {num_rows} held-out images, fewer than {_MIN_ROWS_TO_LEARN}: "
            "nothing can be learned from them; use --weights=uniform"
        )
    verdict = guard(
        lambda rows: select(rows).weights,
        combine,
        metric,
        targets,
        combiner.task,
        num_networks,
        seed=seed,
    )
    return LearnedWeights(selection, verdict)


def _uniform(count: int) -> np.ndarray:
    return np.full(count, 1.0 / count)
