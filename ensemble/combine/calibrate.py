"""Temperature scaling and how well probabilities mean what they say: pure NumPy and SciPy.

Temperature: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2: logits are
divided by T > 0 chosen to minimise the log loss on held-out rows. One T a network in one-label
tasks, one T a class in many-label tasks.

Expected calibration error (the same paper, section 2, equation 3): over equal-width bins of the
confidence, the mean of |accuracy - confidence| weighted by the rows in each bin.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from orchard.formats import Task
from trainer.evaluation import hard_targets

# A perfectly separated held-out set has no finite optimum; these bounds keep T meaningful there.
MIN_TEMPERATURE = 0.1
MAX_TEMPERATURE = 10.0
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


def fit_temperature(logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """Temperature that minimises the log loss of logits / T.

    Args:
        logits: float [rows, classes], finite.
        targets: float [rows, classes], one-hot, multi-hot or soft, 0..1.
        task: what the labels mean.

    Returns:
        float64 [1] for one-label tasks; [classes] for many-label ones, where a class whose held-out
        targets are all the same keeps T = 1: it says nothing about calibration.
    """
    logits = np.asarray(logits, np.float64)
    if task == Task.SINGLE_LABEL:
        return np.array([_minimise(lambda scale: _softmax_loss(logits * scale, targets))])
    temperatures = np.ones(logits.shape[1])
    for column in range(logits.shape[1]):
        z, target = logits[:, column], targets[:, column]
        if target.min() < target.max():
            temperatures[column] = _minimise(
                lambda scale, z=z, t=target: _sigmoid_loss(z * scale, t)
            )
    return temperatures


def reliability(
    probabilities: np.ndarray, targets: np.ndarray, task: Task, num_bins: int = NUM_BINS
) -> Reliability:
    """Confidence against accuracy over equal-width bins.

    One-label tasks compare the highest probability with that class being right; many-label tasks
    compare every class's probability with its presence. Bins as in `trainer.evaluation.metrics`.
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


def _minimise(loss_of_scale) -> float:
    # The log loss is convex in 1/T, so a bounded scalar search finds the optimum.
    found = minimize_scalar(
        loss_of_scale,
        bounds=(1.0 / MAX_TEMPERATURE, 1.0 / MIN_TEMPERATURE),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(1.0 / found.x)


def _softmax_loss(z: np.ndarray, targets: np.ndarray) -> float:
    highest = z.max(axis=1, keepdims=True)
    normaliser = np.log(np.exp(z - highest).sum(axis=1, keepdims=True)) + highest
    return float(np.mean(np.sum(targets * (normaliser - z), axis=1)))


def _sigmoid_loss(z: np.ndarray, target: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0.0, z) - target * z))
