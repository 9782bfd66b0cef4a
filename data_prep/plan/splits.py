"""Which split each row goes to: stratified by label, duplicates and groups kept together.

Rows that belong together are one unit. Units of one row are dealt out by scikit-learn's
`StratifiedKFold`, units of several by `StratifiedGroupKFold`, many-label rows by iterative
stratification (Sechidis, Tsoumakas, Vlahavas: "On the Stratification of Multi-Label Data", 2011;
package iterative-stratification).
"""

import warnings
from collections.abc import Sequence

import numpy as np

from orchard.formats import Task

# A holdout of 10 % is one fold of ten; other fractions are made of up to so many parts, smaller
# ones by holding out of what was held out.
_MAX_PARTS = 100


def assign_folds(
    targets: np.ndarray, task: Task, groups: np.ndarray, order: np.ndarray, folds: int, seed: int
) -> np.ndarray:
    """Deal the rows out to folds.

    Args:
      targets: float32 [n, num_classes], 0..1.
      task: what the labels mean.
      groups: int64 [n]; rows of one number go to one fold.
      order: int64 [n], the rows in an order that does not depend on the CSV's.
      folds: how many.
      seed: of the shuffle.

    Returns:
      int64 [n], the fold of each row.
    """
    result = np.empty(len(targets), np.int64)
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    alone = counts[inverse] == 1
    for chosen in (order[alone[order]], order[~alone[order]]):
        if len(chosen):
            result[chosen] = _deal(targets[chosen], task, groups[chosen], folds, seed)
    return result


def holdout(
    targets: np.ndarray,
    task: Task,
    groups: np.ndarray,
    order: np.ndarray,
    fraction: float,
    seed: int,
) -> np.ndarray:
    """Whether each row is in the held-out `fraction`: bool [n]; arguments as `assign_folds`."""
    smallest = 1 / _MAX_PARTS
    if fraction > 1 - smallest:
        return ~holdout(targets, task, groups, order, 1 - fraction, seed)
    if fraction < smallest:
        held = assign_folds(targets, task, groups, order, _MAX_PARTS, seed) == 0
        inside = order[held[order]]
        at = np.arange(len(inside))
        more = holdout(targets[inside], task, groups[inside], at, fraction * _MAX_PARTS, seed)
        held[inside] = more
        return held
    held, parts = min(
        ((max(1, round(fraction * parts)), parts) for parts in range(2, _MAX_PARTS + 1)),
        key=lambda pair: (round(abs(pair[0] / pair[1] - fraction), 9), pair[1]),
    )
    return assign_folds(targets, task, groups, order, parts, seed) < held


def _deal(targets: np.ndarray, task: Task, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    unique, first = np.unique(groups, return_index=True)
    grouped = len(unique) < len(groups)
    if len(unique) < folds:
        return _round_robin(groups, folds, seed)
    if task == Task.MULTI_LABEL:
        return _deal_many_labels(targets, groups, folds, seed)
    classes = targets.argmax(1)
    cls = StratifiedGroupKFold if grouped else StratifiedKFold
    if np.bincount(classes).max() < folds:
        # scikit-learn refuses when no class has as many rows as there are folds.
        return _round_robin(groups, folds, seed)
    splitter = cls(n_splits=folds, shuffle=True, random_state=seed)
    arguments = (classes, groups) if grouped else (classes,)
    return _collect(splitter.split(np.zeros(len(classes)), *arguments), len(classes))


def _deal_many_labels(targets: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    unique, inverse = np.unique(groups, return_inverse=True)
    labels = np.zeros((len(unique), targets.shape[1]), np.int64)
    np.maximum.at(labels, inverse, targets >= 0.5)
    if labels.shape[1] == 1:
        # It takes a single column for no labels at all; what lacks the label is as good a second.
        labels = np.concatenate([labels, 1 - labels], 1)
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return _collect(splitter.split(np.zeros(len(unique)), labels), len(unique))[inverse]


def _round_robin(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Groups to folds by turns: for so few that there is nothing to stratify."""
    unique, inverse = np.unique(groups, return_inverse=True)
    turns = np.random.default_rng(seed).permutation(len(unique)) % folds
    return turns[inverse]


def _collect(split: Sequence[tuple[np.ndarray, np.ndarray]], rows: int) -> np.ndarray:
    folds = np.empty(rows, np.int64)
    with warnings.catch_warnings():
        # A class with fewer rows than folds is no mistake here: the card shows its counts.
        warnings.filterwarnings("ignore", "The least populated class")
        for fold, (_, held) in enumerate(split):
            folds[held] = fold
    return folds
