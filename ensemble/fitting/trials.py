"""Learned weights, and whether to trust them.

Weights fitted on the rows that judge them always look good. So each way to find weights is fitted
on all rows but one part, and combines that part with what it found, for every part: its predictions
are then of rows that no fit has seen. The gain over the predictions of a simpler way is
bootstrapped; the simpler one stays unless the gain is beyond chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.fitting.parts import spread_parts
from ensemble.fitting.weightings import WEIGHTINGS, Sample, Weighting, Weights
from ensemble.scoring import difference_interval
from orchard.errors import OrchardError
from orchard.formats import Task
from orchard.progress import Progress

UNIFORM = "uniform"
AUTO = "auto"
_MIN_ROWS_TO_LEARN = 20
_NUM_PARTS = 5


@dataclass(frozen=True)
class Verdict:
    """Whether learned weights beat simpler ones on rows that they were not fitted on.

    Attributes:
        trusted: low > 0.
        gain: score with learned weights minus score with the simpler ones, signed so that > 0 is
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

    def __str__(self) -> str:
        return f"{self.gain:+.4f}, {self.low:+.4f} to {self.high:+.4f}"


@dataclass(frozen=True)
class Trial:
    """A way to find weights, put to the test.

    Attributes:
        name: of `WEIGHTINGS`.
        weights: found on all rows.
        over: the name of the simpler one that it is compared with; empty: it is the simplest.
        verdict: on rows that no fit has seen; None where there is nothing to choose from.
    """

    name: str
    weights: Weights
    over: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True)
class LearnedWeights:
    """What was tried, and what is used.

    Attributes:
        trials: the simplest first.
        chosen: the last that beat what was chosen before it beyond chance.
    """

    trials: tuple[Trial, ...]
    chosen: Trial

    @property
    def trusted(self) -> bool:
        """Whether anything but the simplest is used: a gain that may be chance is not."""
        return self.chosen is not self.trials[0]

    @property
    def weights(self) -> Weights:
        """What is used."""
        return self.chosen.weights

    def __getitem__(self, name: str) -> Trial | None:
        """The trial of that name, if there was one."""
        return next((trial for trial in self.trials if trial.name == name), None)


def weighting_names(weights: str, combine: str) -> tuple[str, ...]:
    """The ways to find weights that `--weights` asks for, the simplest first; () for numbers.

    Args:
        weights: what `--weights` says.
        combine: what `--combine` says.

    Raises:
        OrchardError: what `--weights` names does not go with it.
    """
    if weights == AUTO:
        kinds = [
            (kind.complexity, name) for name, kind in WEIGHTINGS.items() if _goes(name, combine)
        ]
        return tuple(name for at, name in sorted(one for one in kinds if one[0] is not None))
    if weights not in WEIGHTINGS:
        return ()
    if not _goes(weights, combine):
        wanted = " or ".join(f"--combine={name}" for name in WEIGHTINGS[weights].combines)
        raise OrchardError(
            f"--weights={weights} does not go with --combine={combine}; use {wanted}, or other "
            "weights"
        )
    return tuple(dict.fromkeys((UNIFORM, weights)))


def learn_weights(sample: Sample, names: Sequence[str]) -> LearnedWeights:
    """Find weights, and say which to use.

    Args:
        sample: the rows.
        names: of `WEIGHTINGS`, the simplest first.

    Raises:
        OrchardError: there are too few rows, or some have no weights.
    """
    if sample.num_networks > 1 and len(sample.rows) < _MIN_ROWS_TO_LEARN:
        raise OrchardError(
            f"--weights={names[-1]} has {len(sample.rows)} held-out images, fewer than "
            f"{_MIN_ROWS_TO_LEARN}: nothing can be learned from them; use --weights=uniform"
        )
    first = Trial(names[0], WEIGHTINGS[names[0]]().find(sample))
    # Nothing is fitted in the simplest, so it needs no parts.
    trials, chosen, best = [first], first, sample.combine(first.weights)
    for name in names[1:]:
        found = WEIGHTINGS[name]().find(sample)
        if sample.num_networks == 1 and found.combiners is None:
            trial = Trial(name, found, chosen.name)
            trials.append(trial)
            chosen = trial
            continue
        learned = _of_unseen_rows(sample, WEIGHTINGS[name]())
        verdict = guard(
            learned,
            best,
            sample.metric,
            sample.targets,
            sample.combiner.task,
            seed=sample.seed,
        )
        trial = Trial(name, found, chosen.name, verdict)
        trials.append(trial)
        if verdict.trusted:
            chosen, best = trial, learned
    return LearnedWeights(tuple(trials), chosen)


def _of_unseen_rows(sample: Sample, weighting: Weighting) -> np.ndarray:
    """What a way to find weights predicts for rows that it was not shown."""

    def fit_and_predict(rows: np.ndarray, left_out: np.ndarray) -> np.ndarray:
        return sample.take(left_out).combine(weighting.find(sample.take(rows)))

    return cross_fitted(fit_and_predict, sample.targets, seed=sample.seed)


def cross_fitted(
    fit_and_predict: Callable[[np.ndarray, np.ndarray], np.ndarray],
    targets: np.ndarray,
    *,
    seed: int = 0,
    num_parts: int = _NUM_PARTS,
) -> np.ndarray:
    """Predictions of rows by fits that have not seen them: float64 [rows, classes].

    Args:
        fit_and_predict: (row indices to fit on, others) -> probabilities of the others.
        targets: float [rows, classes].
        seed: of the parts.
        num_parts: how many fits, each leaving one part of the rows out.
    """
    result = np.empty(targets.shape)
    parts = spread_parts(targets, num_parts, seed)
    # Seconds on usual sizes; with many networks and images it wants a bar.
    for part in Progress(range(num_parts), desc="checking weights", delay=5, leave=False):
        left_out = np.flatnonzero(parts == part)
        result[left_out] = fit_and_predict(np.flatnonzero(parts != part), left_out)
    return result


def guard(
    learned: np.ndarray,
    simpler: np.ndarray,
    metric: str,
    targets: np.ndarray,
    task: Task,
    *,
    seed: int = 0,
    confidence: float = 0.95,
) -> Verdict:
    """Judge predictions against those of something simpler.

    Args:
        learned: `cross_fitted` probabilities float [rows, classes].
        simpler: likewise, or of something that was not fitted.
        metric: the trainer's name of the metric that was fitted for.
        targets: float [rows, classes].
        task: what the labels mean.
        seed: of the bootstrap.
        confidence: of the interval.
    """
    gain, low, high = difference_interval(
        metric, learned, simpler, targets, task, seed=seed, confidence=confidence
    )
    return Verdict(bool(low > 0), gain, low, high, confidence, _NUM_PARTS)


def _goes(name: str, combine: str) -> bool:
    combines = WEIGHTINGS[name].combines
    return not combines or combine in combines
