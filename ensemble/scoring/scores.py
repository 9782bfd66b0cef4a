"""The trainer's metrics, taken of probabilities instead of logits.

Metrics of ranks look at one column at a time, so they are taken of the columns as they are: they
hold for rank averages too, whose rows do not sum to 1. Every other metric needs probabilities.
"""

import numpy as np

from ensemble.combine import to_logits
from orchard.formats import Task
from trainer.evaluation import METRICS, hard_targets, metric_names


def score(metric: str, probabilities: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """One metric of the trainer.

    Args:
        metric: its name.
        probabilities: float [rows, classes], 0..1.
        targets: float [rows, classes], labeled rows only.
        task: what the labels mean.
    """
    return METRICS[metric]().score(*as_logits(metric, probabilities, targets, task))


def scores(
    probabilities: np.ndarray, targets: np.ndarray, task: Task, ranks_only: bool = False
) -> dict[str, float]:
    """All metrics by name; ranks_only: those alone that hold for rank averages."""
    return {
        metric: score(metric, probabilities, targets, task)
        for metric in metric_names(task, ranks=ranks_only)
    }


def regret(metric: str, probabilities: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """The metric turned so that lower is better: 1 - value where higher is better."""
    value = score(metric, probabilities, targets, task)
    return 1.0 - value if METRICS[metric].higher_is_better else value


def per_row_regrets(
    metric: str, probabilities: np.ndarray, targets: np.ndarray, task: Task
) -> np.ndarray | None:
    """Float64 [rows] whose mean is `regret`; None for metrics that are no mean over rows."""
    values = METRICS[metric]().per_row(*as_logits(metric, probabilities, targets, task))
    return values if values is None or not METRICS[metric].higher_is_better else 1.0 - values


def expected_regrets(
    metric: str, probabilities: np.ndarray, beliefs: np.ndarray, task: Task
) -> np.ndarray | None:
    """What `per_row_regrets` are on average over targets drawn from beliefs; None: not known.

    Args:
        metric: its name.
        probabilities: float [rows, classes], 0..1.
        beliefs: float [rows, classes], likewise.
        task: what the labels mean.
    """
    values = METRICS[metric]().expected_per_row(to_logits(probabilities, task), beliefs, task)
    return values if values is None or not METRICS[metric].higher_is_better else 1.0 - values


def as_logits(
    metric: str, probabilities: np.ndarray, targets: np.ndarray, task: Task
) -> tuple[np.ndarray, np.ndarray, Task]:
    """(logits, targets, task) of which the metric is taken."""
    if METRICS[metric].ranks:
        targets, task = hard_targets(targets, task).astype(np.float64), Task.MULTI_LABEL
    return to_logits(probabilities, task), targets, task
