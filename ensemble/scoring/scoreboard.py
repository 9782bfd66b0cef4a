"""Members and ensemble side by side on the same labeled rows: scores, intervals, a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np

from ensemble.scoring import bootstrap, scores
from orchard.formats import Price, Task
from trainer.evaluation import is_better, metric_names


class CandidateKind(Enum):
    """A run, the mean of the folds of a network, or all of them together."""

    MEMBER = "member"
    NETWORK = "network"
    ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Candidate:
    """Something to score.

    Attributes:
        name: for tables.
        kind: what it is.
        weight: its share of the ensemble; None for the ensemble.
        probabilities: float [rows, classes].
        price: what its training took, and what a prediction takes.
    """

    name: str
    kind: CandidateKind
    weight: float | None
    probabilities: np.ndarray
    price: Price = Price()


@dataclass(frozen=True)
class Entry:
    """A scored candidate.

    Attributes:
        candidate: what was scored.
        scores: metric -> value.
        intervals: metric -> (low, high), where there is an interval.
    """

    candidate: Candidate
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]


class Gain(NamedTuple):
    """How much better the ensemble is than its best member, with a paired 95% interval.

    Above 0 is better, whichever way the metric points.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True)
class Scoreboard:
    """Scores of members, networks and ensemble on the same rows.

    Attributes:
        where: the rows in words.
        task: what the labels mean.
        metric: what `best` and the verdict are about.
        targets: float [rows, classes].
        entries: in the order given, the ensemble last.
        best: the best member or network.
        gains: metric -> how much better the ensemble is than `best`; the main ones and `metric`.
    """

    where: str
    task: Task
    metric: str
    targets: np.ndarray
    entries: tuple[Entry, ...]
    best: Entry
    gains: dict[str, Gain]

    @property
    def ensemble(self) -> Entry:
        """The ensemble's entry."""
        return self.entries[-1]

    @property
    def gain(self) -> float:
        """How much better the ensemble is than `best`, in the metric that decides."""
        return self.gains[self.metric].value

    @property
    def compares(self) -> bool:
        """Whether there is more than one network, so that the ensemble can be above or below."""
        return len(self.entries) > 2

    @property
    def verdict(self) -> str:
        """An honest sentence: is the ensemble above its best member?"""
        ours, theirs = self.ensemble.scores[self.metric], self.best.scores[self.metric]
        if not self.compares and not np.isnan(ours):
            return f"One network, so there is nothing to combine: {self.metric} {ours:.4f}."
        gain = self.gains[self.metric]
        if np.isnan(gain.value):
            return (
                f"There is no verdict: {self.metric} has no value on these {len(self.targets)} "
                "images, because no class is there in some of them and absent in others."
            )
        name = self.best.candidate.name
        scored = f"{self.metric} {ours:.4f} against {theirs:.4f} of its best member ({name})"
        if gain.low > 0:
            how = "beats its best member"
        elif gain.value > 0:
            how = "is above its best member, but not beyond chance"
        elif gain.value == 0:
            how = "equals its best member"
        elif gain.high >= 0:
            how = "does not beat its best member, nor is it worse beyond chance"
        else:
            how = "is worse than its best member"
        spread = f"95% interval of the gain {gain.low:+.4f} to {gain.high:+.4f}"
        images = f"on {len(self.targets)} images"
        return f"The ensemble {how}: {scored}; {spread}, {images}."

    @property
    def other_gains(self) -> str:
        """What the ensemble gains in the main metrics that do not decide; empty: nothing to say."""
        if not self.compares:
            return ""
        others = {
            metric: gain
            for metric, gain in self.gains.items()
            if metric != self.metric and not np.isnan(gain.value)
        }
        if not others:
            return ""
        listed = ", ".join(f"{metric} {gain}" for metric, gain in others.items())
        return f"Its gain over {self.best.candidate.name} in other metrics: {listed}."


def build_scoreboard(
    where: str,
    candidates: Sequence[Candidate],
    targets: np.ndarray,
    task: Task,
    metric: str,
    *,
    ensemble_ranks_only: bool = False,
    seed: int = 0,
) -> Scoreboard:
    """Score candidates on labeled rows.

    Args:
        where: the rows in words, such as "split test, 500 images".
        candidates: members and networks, then the ensemble.
        targets: float [rows, classes], all labeled.
        task: what the labels mean.
        metric: what the verdict is about.
        ensemble_ranks_only: the ensemble's rows are mean ranks, not probabilities.
        seed: of the bootstrap.
    """
    entries = []
    for candidate in candidates:
        ranks_only = ensemble_ranks_only and candidate.kind == CandidateKind.ENSEMBLE
        values = scores.scores(candidate.probabilities, targets, task, ranks_only)
        intervals = {
            name: bootstrap.interval(name, candidate.probabilities, targets, task, seed=seed)
            for name in values
            if name in metric_names(main=True)
        }
        if metric not in values:
            values[metric] = scores.score(metric, candidate.probabilities, targets, task)
        entries.append(Entry(candidate, values, intervals))
    best = entries[0]
    for entry in entries[1:-1]:
        if is_better(metric, entry.scores[metric], best.scores[metric]):
            best = entry
    gains = {
        name: Gain(
            *bootstrap.difference_interval(
                name,
                entries[-1].candidate.probabilities,
                best.candidate.probabilities,
                targets,
                task,
                seed=seed,
            )
        )
        for name in dict.fromkeys((metric, *metric_names(task, main=True)))
        if name in entries[-1].scores
    }
    return Scoreboard(where, task, metric, targets, tuple(entries), best, gains)


def scoreboard_text(board: Scoreboard) -> str:
    """A table for the terminal: one line an entry, the main metrics in columns."""
    shown = list(dict.fromkeys([board.metric, *metric_names(board.task, main=True)]))
    width = max(len(entry.candidate.name) for entry in board.entries)
    lines = [f"Scores on {board.where}:", "  ".join([" " * width, *(f"{m:>10}" for m in shown)])]
    for entry in board.entries:
        values = [entry.scores.get(name, float("nan")) for name in shown]
        cells = [f"{'-' if np.isnan(value) else format(value, '.4f'):>10}" for value in values]
        lines.append("  ".join([f"{entry.candidate.name:<{width}}", *cells]))
    return "\n".join([*lines, board.verdict, *filter(None, [board.other_gains])])


def scores_text(where: str, probabilities: np.ndarray, targets: np.ndarray, task: Task) -> str:
    """Scores of one model for the terminal: one line a metric, intervals of the main ones.

    Args:
        where: the rows in words.
        probabilities: float [rows, classes]; of one label an image, rows that do not sum to 1 are
            mean ranks.
        targets: float [rows, classes], all labelled.
        task: what the labels mean.
    """
    ranks_only = task == Task.SINGLE_LABEL and not np.allclose(probabilities.sum(1), 1, atol=1e-3)
    lines = [f"Scores on {where}:"]
    for name, value in scores.scores(probabilities, targets, task, ranks_only).items():
        if np.isnan(value):
            continue
        spread = ""
        if name in metric_names(main=True):
            low, high = bootstrap.interval(name, probabilities, targets, task)
            spread = f"  ({low:.4f} to {high:.4f})"
        lines.append(f"  {name:<17}  {value:.4f}{spread}")
    return "\n".join(lines)
