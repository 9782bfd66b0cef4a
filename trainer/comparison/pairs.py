"""Scores on the same images with intervals, and how far any two of them are from chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchard.formats import Logits, Task
from trainer.comparison.entries import Entry
from trainer.evaluation import (
    METRICS,
    counts_for,
    default_metric,
    metric_names,
    percentiles,
    resampled_scores,
)


@dataclass(frozen=True)
class Gain:
    """How much better one is than another on the same images.

    Attributes:
        gain: > 0: it is better, whichever way the metric points.
        low: lower end of its paired 95% bootstrap interval.
        high: upper end.
    """

    gain: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the interval is on one side of 0; 0: it may be chance."""
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Scored:
    """An entry with its scores.

    Attributes:
        entry: what was scored.
        scores: metric -> value; NaN where the targets cannot tell.
        intervals: metric -> (low, high), 95%.
    """

    entry: Entry
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Comparison:
    """Entries that were scored on the same images.

    Attributes:
        where: the images in words.
        task: what the labels mean.
        metric: what orders the entries.
        num_images: how many there are.
        scored: the best first.
        gains: metric -> gains[a][b] of the a-th entry over the b-th.
    """

    where: str
    task: Task
    metric: str
    num_images: int
    scored: tuple[Scored, ...]
    gains: dict[str, tuple[tuple[Gain, ...], ...]]

    @property
    def verdict(self) -> str:
        """In words: which is the best, and which others may be as good."""
        best, *others = self.scored
        value = best.scores[self.metric]
        if np.isnan(value):
            return f"{self.metric} has no value on these images."
        low, high = best.intervals[self.metric]
        said = f"{best.entry.name}: {self.metric} {value:.4f} ({low:.4f} to {high:.4f})"
        if not others:
            return f"{said}. There is nothing to compare it with."
        over_others = self.gains[self.metric][0][1:]
        equals = [
            one.entry.name
            for one, gain in zip(others, over_others, strict=True)
            if not gain.sign and not np.isnan(one.scores[self.metric])
        ]
        said = f"The best of {len(self.scored)} is {said}"
        if not equals:
            return f"{said}; the difference to each of the others is beyond chance."
        named = ", ".join(equals[:3]) + (f" and {len(equals) - 3} more" if len(equals) > 3 else "")
        return f"{said}; not told apart from it on {self.num_images:,} images: {named}."


def compare(entries: Sequence[Entry], metric: str = "") -> list[Comparison]:
    """Compare the entries that have held-out logits, those on the same images with one another.

    Images are the same where ids, labels and classes are, whatever the dataset's version.

    Args:
        entries: in any order.
        metric: what orders them; empty, or not for the task: the default of the task.

    Returns:
        The comparisons of most entries first, and of the same number those of most images.
    """
    groups: dict[tuple, list[Entry]] = {}
    for entry in entries:
        if entry.logits is not None:
            groups.setdefault(_key(entry.record.task, entry.logits), []).append(entry)
    found = [_compare(group, metric) for group in groups.values()]
    return sorted(found, key=lambda one: (-len(one.scored), -one.num_images))


def _key(task: Task, logits: Logits) -> tuple:
    # Unicode arrays are as wide as their longest text: as a list they compare by their texts.
    return task, logits.class_names, tuple(logits.ids.tolist()), logits.targets.tobytes()


def _compare(entries: Sequence[Entry], metric: str) -> Comparison:
    task, first = entries[0].record.task, _logits(entries[0])
    if metric not in metric_names(task):
        metric = default_metric(task)
    targets = first.targets
    counts = counts_for(targets)
    shown = tuple(dict.fromkeys([metric, *metric_names(task, main=True)]))
    draws: dict[str, dict[str, np.ndarray]] = {}  # By the entry's path, then by metric.
    scored = []
    for entry in entries:
        logits = _logits(entry).logits
        draws[entry.path] = {
            name: resampled_scores(name, logits, targets, task, counts) for name in shown
        }
        scores = {name: float(METRICS[name]().score(logits, targets, task)) for name in shown}
        intervals = {name: percentiles(draws[entry.path][name]) for name in shown}
        scored.append(Scored(entry, scores, intervals))
    sign = _sign(metric)
    # NaN last: it is no score.
    scored.sort(key=lambda one: np.nan_to_num(-sign * one.scores[metric], nan=np.inf))
    gains = {
        name: tuple(
            tuple(
                _gain(
                    name, a.scores[name], b.scores[name], draws[a.entry.path], draws[b.entry.path]
                )
                for b in scored
            )
            for a in scored
        )
        for name in shown
    }
    return Comparison(_where(entries), task, metric, len(targets), tuple(scored), gains)


def _gain(
    metric: str, a: float, b: float, draws_a: dict[str, np.ndarray], draws_b: dict[str, np.ndarray]
) -> Gain:
    sign = _sign(metric)
    return Gain(sign * (a - b), *percentiles(sign * (draws_a[metric] - draws_b[metric])))


def _sign(metric: str) -> float:
    return 1.0 if METRICS[metric].higher_is_better else -1.0


def _logits(entry: Entry) -> Logits:
    assert entry.logits is not None
    return entry.logits


def _where(entries: Sequence[Entry]) -> str:
    first = entries[0]
    split = "all folds" if first.is_folds else first.record.eval_split
    names = dict.fromkeys(one.record.dataset.name for one in entries)
    return f"{split} of {', '.join(names)}"
