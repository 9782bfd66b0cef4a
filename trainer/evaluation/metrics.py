"""Exact scores of logits against targets, on the host, in NumPy and scikit-learn.

Shapes: logits float [n, num_classes]; targets float [n, num_classes], one-hot, multi-hot or soft
(0..1), without unlabelled rows. Probabilities are the softmax of the logits for one label an image,
their sigmoids for many. Where a metric needs hard classes, a soft target counts as its likeliest
class (one label) or as present from 0.5 on (many labels).
"""

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn import metrics as sk

from orchard.formats import Task

LOWER_IS_BETTER = frozenset({"log_loss", "ece"})
METRICS = (
    "accuracy",
    "balanced_accuracy",
    "log_loss",
    "roc_auc",
    "average_precision",
    "f1",
    "ece",
)


def evaluate(logits: np.ndarray, targets: np.ndarray, task: Task) -> dict[str, float]:
    """Every metric of `METRICS` by name; NaN where the targets cannot tell (a class never seen)."""
    functions = {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "log_loss": log_loss,
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "f1": f1,
        "ece": expected_calibration_error,
    }
    return {name: float(functions[name](logits, targets, task)) for name in METRICS}


def is_better(metric: str, a: float, b: float | None) -> bool:
    """Whether score `a` beats score `b`; anything but NaN beats None and NaN."""
    if np.isnan(a):
        return False
    if b is None or np.isnan(b):
        return True
    return a < b if metric in LOWER_IS_BETTER else a > b


def probabilities(logits: np.ndarray, task: Task) -> np.ndarray:
    """float64 [n, num_classes]: softmax over classes, or a sigmoid for each class."""
    logits = np.asarray(logits, np.float64)
    return softmax(logits, axis=1) if task == Task.SINGLE_LABEL else expit(logits)


def hard_targets(targets: np.ndarray, task: Task) -> np.ndarray:
    """Bool [n, num_classes]: which classes a row counts as."""
    if task == Task.MULTI_LABEL:
        return np.asarray(targets) >= 0.5
    hard = np.zeros(targets.shape, bool)
    hard[np.arange(len(targets)), np.argmax(targets, axis=1)] = True
    return hard


def hard_predictions(logits: np.ndarray, task: Task, thresholds: float | np.ndarray = 0.5):
    """Bool [n, num_classes]: the likeliest class, or every class at or above its threshold."""
    if task == Task.MULTI_LABEL:
        return probabilities(logits, task) >= thresholds
    return hard_targets(np.asarray(logits), task)


def accuracy(logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """Share of rows whose predicted classes are all and only the true ones."""
    right = hard_predictions(logits, task) == hard_targets(targets, task)
    return float(np.mean(np.all(right, axis=1)))


def balanced_accuracy(logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """Mean recall over the classes seen; for many labels, mean of recall and specificity."""
    predicted, true = hard_predictions(logits, task), hard_targets(targets, task)
    recall = _share(predicted & true, true)
    if task == Task.SINGLE_LABEL:
        return _nanmean(recall)
    specificity = _share(~predicted & ~true, ~true)
    return _nanmean((recall + specificity) / 2)


def log_loss(logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """Cross-entropy in nats: a row's mean for one label, a cell's mean for many labels."""
    logits, targets = np.asarray(logits, np.float64), np.asarray(targets, np.float64)
    if task == Task.SINGLE_LABEL:
        return float(-np.mean(np.sum(targets * log_softmax(logits, axis=1), axis=1)))
    return float(-np.mean(targets * log_expit(logits) + (1 - targets) * log_expit(-logits)))


def roc_auc_per_class(logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """Area under each class's ROC curve [num_classes]; NaN for a class always or never there."""
    return _per_class(sk.roc_auc_score, logits, targets, task)


def roc_auc(logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """Mean column-wise ROC AUC (Plant Pathology 2020's metric), over classes that have one."""
    return _nanmean(roc_auc_per_class(logits, targets, task))


def average_precision_per_class(logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """Average precision of each class [num_classes]; NaN for a class always or never there."""
    return _per_class(sk.average_precision_score, logits, targets, task)


def average_precision(logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """Mean average precision over the classes that have one."""
    return _nanmean(average_precision_per_class(logits, targets, task))


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


def f1(logits: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """Macro F1: the mean over classes that are there or predicted."""
    return _nanmean(f1_per_class(logits, targets, task))


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


def expected_calibration_error(
    logits: np.ndarray, targets: np.ndarray, task: Task, bins: int = 15
) -> float:
    """ECE with equal-width bins (Guo et al. 2017, section 2).

    One label: confidence of the predicted class against its being right. Many labels: every
    cell's probability against its being present.
    """
    scores, true = probabilities(logits, task), hard_targets(targets, task)
    if task == Task.SINGLE_LABEL:
        chosen = np.argmax(scores, axis=1)[:, None]
        scores = np.take_along_axis(scores, chosen, axis=1)
        true = np.take_along_axis(true, chosen, axis=1)
    scores, true = scores.ravel(), true.ravel().astype(float)
    bucket = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(bucket, scores - true, minlength=bins))
    return float(np.sum(gaps) / len(scores))


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
        "precision": _share(predicted & true, predicted),
        "recall": _share(predicted & true, true),
        "f1": f1_per_class(logits, targets, task),
        "threshold": best_thresholds(logits, targets, task)
        if multi
        else np.full(len(class_names), np.nan),
    }
    return [
        {"class": name, **{key: float(values[i]) for key, values in columns.items()}}
        for i, name in enumerate(class_names)
    ]


def _per_class(function, logits: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    scores, true = probabilities(logits, task), hard_targets(targets, task)
    mixed = true.any(axis=0) & ~true.all(axis=0)
    return np.array(
        [function(true[:, i], scores[:, i]) if mixed[i] else np.nan for i in range(len(mixed))]
    )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    parts, wholes = np.sum(part, axis=0), np.sum(whole, axis=0)
    return np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)


def _nanmean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(np.mean(values)) if len(values) else float("nan")
