"""The trainer's bootstrap intervals (`trainer.evaluation`), taken of probabilities."""

import numpy as np

from ensemble.scoring.scores import as_logits
from orchard.formats import Task
from trainer.evaluation import CONFIDENCE, gain_interval, score_interval


def interval(
    metric: str, probabilities: np.ndarray, targets: np.ndarray, task: Task, *, seed: int = 0
) -> tuple[float, float]:
    """95% bootstrap interval (low, high) of a score."""
    return score_interval(metric, *as_logits(metric, probabilities, targets, task), seed=seed)


def difference_interval(
    metric: str,
    first: np.ndarray,
    second: np.ndarray,
    targets: np.ndarray,
    task: Task,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> tuple[float, float, float]:
    """How much better `first` is than `second` on the same rows: (gain, low, high), paired.

    Args:
        metric: its name; the gain is > 0 where `first` is better, whichever way it points.
        first: probabilities float [rows, classes].
        second: likewise.
        targets: float [rows, classes].
        task: what the labels mean.
        seed: of the draws.
        confidence: of the interval.
    """
    logits, hard, kind = as_logits(metric, first, targets, task)
    others, _, _ = as_logits(metric, second, targets, task)
    return gain_interval(metric, logits, others, hard, kind, seed=seed, confidence=confidence)
