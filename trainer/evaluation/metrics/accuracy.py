"""Accuracy."""

import numpy as np

from orchard.formats import Task
from trainer.evaluation.metric import METRICS, Metric
from trainer.evaluation.predictions import hard_predictions, hard_targets


@METRICS.register("accuracy")
class Accuracy(Metric):
    """Share of rows whose predicted classes are all and only the true ones."""

    order = 10
    main = True

    def per_row(self, logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
        """1 where they are, else 0."""
        right = hard_predictions(logits, task) == hard_targets(targets, task)
        return right.all(axis=1).astype(np.float64)

    def expected_per_row(self, logits: np.ndarray, beliefs: np.ndarray, task: Task) -> np.ndarray:
        """The probability that they are."""
        chosen = hard_predictions(logits, task)
        if task == Task.SINGLE_LABEL:
            return (beliefs * chosen).sum(axis=1)
        return np.where(chosen, beliefs, 1.0 - beliefs).prod(axis=1)
