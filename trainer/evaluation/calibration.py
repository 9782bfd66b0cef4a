"""Expected calibration error (Guo et al. 2017, section 2, equation 3).

Over equal-width bins of the confidence, the mean of |accuracy - confidence| weighted by the rows in
each bin.
"""

from dataclasses import dataclass

import numpy as np

from orchard.formats import Task
from trainer.evaluation.predictions import hard_targets

NUM_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: float64 [bins] each; empty bins hold NaN means and a count of 0."""

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def expected_error(self) -> float:
        """Expected calibration error, 0 (perfect) to 1."""
        filled = self.count > 0
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float(np.sum(gaps * self.count[filled]) / np.sum(self.count))


def reliability(
    probabilities: np.ndarray, targets: np.ndarray, task: Task, num_bins: int = NUM_BINS
) -> Reliability:
    """Confidence against accuracy over equal-width bins.

    One-label tasks compare the highest probability with that class being right; many-label tasks
    compare every class's probability with its presence.
    """
    targets = hard_targets(targets, task).astype(np.float64)
    if task == Task.SINGLE_LABEL:
        rows, best = np.arange(len(probabilities)), probabilities.argmax(axis=1)
        confidence, outcome = probabilities[rows, best], targets[rows, best]
    else:
        confidence, outcome = probabilities.ravel(), targets.ravel()
    bins = np.clip((confidence * num_bins).astype(int), 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins).astype(np.float64)
    filled = np.where(count > 0, count, np.nan)
    return Reliability(
        confidence=np.bincount(bins, weights=confidence, minlength=num_bins) / filled,
        accuracy=np.bincount(bins, weights=outcome, minlength=num_bins) / filled,
        count=count,
    )
