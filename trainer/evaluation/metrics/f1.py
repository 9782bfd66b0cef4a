"""Macro F1."""

import numpy as np

from orchard.formats import Task
from trainer.evaluation.classes import f1_per_class, nanmean
from trainer.evaluation.metric import METRICS, Metric


@METRICS.register("f1")
class MacroF1(Metric):
    """The mean over classes that are there or predicted."""

    order = 60

    def score(self, logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
        """At a threshold of 0.5 for many labels."""
        return nanmean(f1_per_class(logits, targets, task))
