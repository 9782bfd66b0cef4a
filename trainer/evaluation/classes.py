"""Scores of each class, and the thresholds that are best for it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from orchard.formats import Task
from orchard.lazy import lazy_import
from trainer.evaluation.predictions import hard_predictions, hard_targets, probabilities

if TYPE_CHECKING:
    from sklearn import metrics as sk
else:
    sk = lazy_import("sklearn.metrics")  # It takes a second.


def roc_auc_per_class(logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """Area under each class's ROC curve [num_classes]; NaN for a class always or never there."""
    return _per_class(sk.roc_auc_score, logits, targets, task)


def average_precision_per_class(logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """Average precision of each class [num_classes]; NaN for a class always or never there."""
    return _per_class(sk.average_precision_score, logits, targets, task)


def f1_per_class(
    logits: np.ndarray,
    targets: np.ndarray,
    task: Task,
    thresholds: float | np.ndarray = 0.5,
) -> np.ndarray:
    """F1 of each class [num_classes]; NaN where a class is neither there nor predicted."""
    predicted, true = hard_predictions(logits, task, thresholds), hard_targets(targets, task)
    hits = np.sum(predicted & true, axis=0)
    sizes = np.sum(predicted, axis=0) + np.sum(true, axis=0)
    return np.divide(2 * hits, sizes, out=np.full(len(hits), np.nan), where=sizes > 0)


def best_thresholds(logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """The probability threshold of each class [num_classes] that gives it the highest F1.

    Meant for many-label data and for held-out logits; 0.5 for a class without positives.
    """
    scores, true = probabilities(logits, task), hard_targets(targets, task)
    thresholds = np.full(scores.shape[1], 0.5)
    for column in np.flatnonzero(true.any(axis=0)):
        precision, recall, cuts = sk.precision_recall_curve(true[:, column], scores[:, column])
        # F1 = 2PR/(P+R); the last point of the curve has no threshold.
        total = precision[:-1] + recall[:-1]
        f1_scores = np.divide(
            2 * precision[:-1] * recall[:-1], total, out=np.zeros_like(total), where=total > 0
        )
        thresholds[column] = cuts[np.argmax(f1_scores)]
    return thresholds


def per_class_table(
    logits: np.ndarray, targets: np.ndarray, task: Task, class_names: tuple[str, ...]
) -> list[dict[str, float | str]]:
    """One row a class: name, count, roc_auc, average_precision, precision, recall, f1, threshold.

    `threshold` is the class's best one for many-label data and NaN for one-label data.
    """
    predicted, true = hard_predictions(logits, task), hard_targets(targets, task)
    multi = task == Task.MULTI_LABEL
    columns = {
        "count": np.sum(true, axis=0),
        "roc_auc": roc_auc_per_class(logits, targets, task),
        "average_precision": average_precision_per_class(logits, targets, task),
        "precision": share(predicted & true, predicted),
        "recall": share(predicted & true, true),
        "f1": f1_per_class(logits, targets, task),
        "threshold": best_thresholds(logits, targets, task)
        if multi
        else np.full(len(class_names), np.nan),
    }
    return [
        {"class": name, **{key: float(values[i]) for key, values in columns.items()}}
        for i, name in enumerate(class_names)
    ]


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The count of `part` over that of `whole`, by column of bool [n, num_classes]; NaN over 0."""
    parts, wholes = np.sum(part, axis=0), np.sum(whole, axis=0)
    return np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)


def nanmean(values: np.ndarray) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    values = values[~np.isnan(values)]
    return float(np.mean(values)) if len(values) else float("nan")


def _per_class(
    function: Callable[..., float], logits: np.ndarray, targets: np.ndarray, task: Task
) -> np.ndarray:
    scores, true = probabilities(logits, task), hard_targets(targets, task)
    mixed = np.asarray(true.any(axis=0) & ~true.all(axis=0))
    return np.array(
        [function(true[:, i], scores[:, i]) if mixed[i] else np.nan for i in range(len(mixed))]
    )
