"""The trainer's metrics, taken of probabilities instead of logits.

Ranking metrics look at one column at a time, so they are taken of the columns as they are: they
hold for rank averages too, whose rows do not sum to 1. Every other metric needs probabilities.
"""

import numpy as np

from ensemble.combine import to_logits
from orchard.formats import Task
from trainer.evaluation import metrics

RANKING_METRICS = frozenset({"roc_auc", "average_precision"})
_FUNCTIONS = {
    "accuracy": metrics.accuracy,
    "balanced_accuracy": metrics.balanced_accuracy,
    "log_loss": metrics.log_loss,
    "roc_auc": metrics.roc_auc,
    "average_precision": metrics.average_precision,
    "f1": metrics.f1,
    "ece": metrics.expected_calibration_error,
}
SHOWN_METRICS = ("accuracy", "log_loss", "roc_auc", "average_precision", "f1", "ece")


def default_metric(task: Task, gives_probabilities: bool = True) -> str:
    """The metric that judges when the user names none: one that the numbers allow."""
    return "accuracy" if task == Task.SINGLE_LABEL and gives_probabilities else "roc_auc"


def is_higher_better(metric: str) -> bool:
    """Whether greater values of the trainer's metric are better."""
    return metric not in metrics.LOWER_IS_BETTER


def score(metric: str, probabilities: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """One metric of the trainer, by name.

    probabilities: float [rows, classes], 0..1. targets: float [rows, classes], labelled rows only.
    """
    if metric in RANKING_METRICS:
        targets = metrics.hard_targets(targets, task).astype(np.float64)
        task = Task.MULTI_LABEL
    return _FUNCTIONS[metric](to_logits(probabilities, task), targets, task)


def scores(
    probabilities: np.ndarray, targets: np.ndarray, task: Task, ranks_only: bool = False
) -> dict[str, float]:
    """The shown metrics by name; ranks_only: the ranking metrics alone, for rank averages."""
    shown = [m for m in SHOWN_METRICS if not ranks_only or m in RANKING_METRICS]
    return {metric: score(metric, probabilities, targets, task) for metric in shown}


def regret(metric: str, probabilities: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """The metric turned so that lower is better: 1 - value where higher is better."""
    value = score(metric, probabilities, targets, task)
    return 1.0 - value if is_higher_better(metric) else value


def per_row_scores(
    metric: str, probabilities: np.ndarray, targets: np.ndarray, task: Task
) -> np.ndarray | None:
    """Values float64 [rows] whose mean is the metric; None where the metric is no such mean."""
    logits = to_logits(probabilities, task)
    if metric == "accuracy":
        right = metrics.hard_predictions(logits, task) == metrics.hard_targets(targets, task)
        return right.all(axis=1).astype(np.float64)
    if metric == "log_loss":
        return row_losses(probabilities, targets, task)
    return None


def row_losses(probabilities: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """Cross-entropy of each row in nats, float64 [rows]; the mean over classes for many labels."""
    present = targets * np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    if task == Task.SINGLE_LABEL:
        return -present.sum(axis=1)
    absent = (1.0 - targets) * np.log(np.maximum(1.0 - probabilities, np.finfo(np.float64).eps / 2))
    return -(present + absent).mean(axis=1)
