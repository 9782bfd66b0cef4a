"""Temperature scaling, so that probabilities mean what they say: pure NumPy and SciPy.

Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2: logits are divided by
T > 0 chosen to minimize the log loss on held-out rows. One T a network in one-label tasks, one T a
class in many-label tasks.
"""

from typing import TYPE_CHECKING

import numpy as np

from orchard.formats import Task
from orchard.lazy import lazy_import
from trainer.evaluation import row_losses

if TYPE_CHECKING:
    from scipy import optimize
else:
    optimize = lazy_import("scipy.optimize")

# A perfectly separated held-out set has no finite optimum; these bounds keep T meaningful there.
MIN_TEMPERATURE = 0.1
MAX_TEMPERATURE = 10.0


def fit_temperature(logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """Temperature that minimizes the log loss of logits / T.

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
        return np.array([_minimize(logits, targets, task)])
    temperatures = np.ones(logits.shape[1])
    for column in range(logits.shape[1]):
        one = slice(column, column + 1)
        if targets[:, column].min() < targets[:, column].max():
            temperatures[column] = _minimize(logits[:, one], targets[:, one], task)
    return temperatures


def _minimize(logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
    # The log loss is convex in 1/T, so a bounded scalar search finds the optimum.
    found = optimize.minimize_scalar(
        lambda scale: np.mean(row_losses(logits * scale, targets, task)),
        bounds=(1.0 / MAX_TEMPERATURE, 1.0 / MIN_TEMPERATURE),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(1.0 / found.x)
