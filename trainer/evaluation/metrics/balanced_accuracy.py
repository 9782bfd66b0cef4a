"""Balanced accuracy."""

import numpy as np

from orchard.formats import Task
from trainer.evaluation.classes import nanmean, share
from trainer.evaluation.metric import METRICS, Metric
from trainer.evaluation.predictions import hard_predictions, hard_targets


@METRICS.register("balanced_accuracy")
class BalancedAccuracy(Metric):
    """Mean recall over the classes seen; for many labels, mean of recall and specificity."""

    order = 20

    def score(self, logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
        """Each class counts the same."""
        predicted, true = hard_predictions(logits, task), hard_targets(targets, task)
        recall = share(predicted & true, true)
        if task == Task.SINGLE_LABEL:
            return nanmean(recall)
        specificity = share(~predicted & ~true, ~true)
        return nanmean((recall + specificity) / 2)
