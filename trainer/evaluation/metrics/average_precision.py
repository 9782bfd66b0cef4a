"""Mean average precision."""

import numpy as np

from orchard.formats import Task
from trainer.evaluation.classes import average_precision_per_class, nanmean
from trainer.evaluation.metric import METRICS, Metric


@METRICS.register("average_precision")
class AveragePrecision(Metric):
    """The mean over the classes that have one."""

    order = 50
    ranks = True

    def score(self, logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
        """From scikit-learn."""
        return nanmean(average_precision_per_class(logits, targets, task))
