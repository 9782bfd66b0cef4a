"""What logits and targets mean: probabilities, hard classes, and the loss of each row.

Shapes: logits float [n, num_classes]; targets float [n, num_classes], one-hot, multi-hot or soft
(0..1), without unlabeled rows. Task.SINGLE_LABEL means a softmax, Task.MULTI_LABEL sigmoids.
"""

from typing import TYPE_CHECKING

import numpy as np

from orchard.formats import Task
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    from scipy import special
else:
    special = lazy_import("scipy.special")


def probabilities(logits: np.ndarray, task: Task) -> np.ndarray:
    """float64 [n, num_classes]: softmax over classes, or a sigmoid for each class."""
    logits = np.asarray(logits, np.float64)
    return special.softmax(logits, axis=1) if task == Task.SINGLE_LABEL else special.expit(logits)


def hard_targets(targets: np.ndarray, task: Task) -> np.ndarray:
    """Bool [n, num_classes]: which classes a row counts as."""
    if task == Task.MULTI_LABEL:
        return np.asarray(targets) >= 0.5
    hard = np.zeros(targets.shape, bool)
    hard[np.arange(len(targets)), np.argmax(targets, axis=1)] = True
    return hard


def hard_predictions(
    logits: np.ndarray, task: Task, thresholds: float | np.ndarray = 0.5
) -> np.ndarray:
    """Bool [n, num_classes]: the likeliest class, or every class at or above its threshold."""
    if task == Task.MULTI_LABEL:
        return probabilities(logits, task) >= thresholds
    return hard_targets(np.asarray(logits), task)


def row_losses(logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """Cross-entropy of each row in nats, float64 [n]; the mean over classes for many labels."""
    logits, targets = np.asarray(logits, np.float64), np.asarray(targets, np.float64)
    if task == Task.SINGLE_LABEL:
        return -np.sum(targets * special.log_softmax(logits, axis=1), axis=1)
    return -np.mean(
        targets * special.log_expit(logits) + (1 - targets) * special.log_expit(-logits), axis=1
    )
