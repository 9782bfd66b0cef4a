"""Mean column-wise ROC AUC."""

import numpy as np

from orchard.formats import Task
from trainer.evaluation.classes import nanmean, roc_auc_per_class
from trainer.evaluation.metric import METRICS, Metric
from trainer.evaluation.predictions import hard_targets, probabilities


@METRICS.register("roc_auc")
class RocAuc(Metric):
    """The mean over classes that have one (Plant Pathology 2020's metric)."""

    order = 40
    ranks = True
    main = True

    def score(self, logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
        """From scikit-learn."""
        return nanmean(roc_auc_per_class(logits, targets, task))

    def resampled(
        self, logits: np.ndarray, targets: np.ndarray, task: Task, counts: np.ndarray
    ) -> np.ndarray:
        """One sort a column for all draws."""
        scores, hard = probabilities(logits, task), hard_targets(targets, task)
        columns = np.stack(
            [_column(*column, counts) for column in zip(scores.T, hard.T, strict=True)]
        )
        defined = ~np.isnan(columns)
        sums = np.where(defined, columns, 0.0).sum(axis=0)
        return np.divide(
            sums, defined.sum(axis=0), out=np.full(len(counts), np.nan), where=defined.any(axis=0)
        )


def _column(scores: np.ndarray, positive: np.ndarray, counts: np.ndarray) -> np.ndarray:
    # Mann-Whitney: the share of (positive, negative) pairs in order, ties counting half.
    _, group = np.unique(scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    positives = np.add.reduceat((counts * positive)[:, order], starts, axis=1)
    negatives = np.add.reduceat((counts * ~positive)[:, order], starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2.0
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    ordered = np.sum(positives * below, axis=1)
    return np.divide(ordered, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)
