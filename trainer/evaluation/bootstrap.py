"""Percentile bootstrap over rows: how far a score, or the gap between two, is from chance.

Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13. Rows are drawn with
replacement; a draw is kept as how often each row came, so that means over rows are one matrix
product and a column's AUC needs one sort for all draws.
"""

import functools

import numpy as np

from orchard.formats import Task
from trainer.evaluation.metric import METRICS

NUM_DRAWS = 400
CONFIDENCE = 0.95
# Above this many elements (draws x rows x classes) fewer draws are taken, but never under 100.
_MAX_ELEMENTS = 2_000_000_000
_MIN_DRAWS = 100
# Draws are worked on a few at a time: 32 MB of float64, of which AUC has five at once.
_ELEMENTS_AT_ONCE = 1 << 22


@functools.lru_cache(maxsize=2)
def draw_counts(num_rows: int, seed: int, num_draws: int = NUM_DRAWS) -> np.ndarray:
    """How often each row comes in each draw: uint16 [draws, rows], each draw summing to rows."""
    generator = np.random.default_rng(seed)
    counts = np.empty((num_draws, num_rows), np.uint16)
    for draw in counts:
        draw[:] = np.bincount(generator.integers(num_rows, size=num_rows), minlength=num_rows)
    counts.flags.writeable = False  # shared by all callers
    return counts


def counts_for(targets: np.ndarray, seed: int = 0) -> np.ndarray:
    """The draws that intervals on these targets [rows, classes] are of; fewer for very many."""
    num_draws = int(np.clip(_MAX_ELEMENTS // max(1, targets.size), _MIN_DRAWS, NUM_DRAWS))
    return draw_counts(len(targets), seed, num_draws)


def resampled_scores(
    metric: str, logits: np.ndarray, targets: np.ndarray, task: Task, counts: np.ndarray
) -> np.ndarray:
    """The metric on each draw, float64 [draws]; NaN where a draw leaves it undefined.

    Args:
        metric: its name.
        logits: float [rows, classes].
        targets: likewise, labeled rows only.
        task: what the labels mean.
        counts: as `draw_counts` gives them.
    """
    at_once = max(1, _ELEMENTS_AT_ONCE // counts.shape[1])
    parts = np.split(counts, range(at_once, len(counts), at_once))
    kind = METRICS[metric]()
    return np.concatenate(
        [kind.resampled(logits, targets, task, part.astype(np.float64)) for part in parts]
    )


def score_interval(
    metric: str,
    logits: np.ndarray,
    targets: np.ndarray,
    task: Task,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Bootstrap interval (low, high) of a score at `confidence`."""
    counts = counts_for(targets, seed)
    return percentiles(resampled_scores(metric, logits, targets, task, counts), confidence)


def gain_interval(
    metric: str,
    first: np.ndarray,
    second: np.ndarray,
    targets: np.ndarray,
    task: Task,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> tuple[float, float, float]:
    """How much better `first` is than `second` on the same rows: (gain, low, high).

    The gain is signed so that > 0 means that `first` is better, whichever way the metric points;
    both see the same draws (paired).

    Args:
        metric: its name.
        first: logits float [rows, classes].
        second: likewise.
        targets: float [rows, classes].
        task: what the labels mean.
        seed: of the draws.
        confidence: of the interval.
    """
    kind = METRICS[metric]()
    sign = 1.0 if kind.higher_is_better else -1.0
    counts = counts_for(targets, seed)
    draws = resampled_scores(metric, first, targets, task, counts)
    draws = sign * (draws - resampled_scores(metric, second, targets, task, counts))
    gain = sign * (kind.score(first, targets, task) - kind.score(second, targets, task))
    return float(gain), *percentiles(draws, confidence)


def mean_interval(
    values: np.ndarray, *, seed: int = 0, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Bootstrap interval (low, high) of the mean of values float [rows]; NaN without any."""
    if not len(values):
        return float("nan"), float("nan")
    counts = draw_counts(len(values), seed)
    return percentiles(counts @ values / len(values), confidence)


def percentiles(draws: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The middle `confidence` of the draws float [draws], without NaN; NaN where all are."""
    if np.all(np.isnan(draws)):
        return float("nan"), float("nan")
    tail = 50.0 * (1.0 - confidence)
    low, high = np.nanpercentile(draws, [tail, 100.0 - tail])
    return float(low), float(high)
