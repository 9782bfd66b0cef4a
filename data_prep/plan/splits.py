"""Which split each row goes to: stratified by label, duplicates and groups kept together.

Rows that belong together are one unit. Units of one row are dealt out by scikit-learn's
`StratifiedKFold`, units of several by `StratifiedGroupKFold`, many-label rows by iterative
stratification (Sechidis, Tsoumakas, Vlahavas: "On the Stratification of Multi-Label Data", 2011;
package iterative-stratification). Rows with times are cut by these instead.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from orchard.formats import Targets, Task

# A holdout of 10 % is one fold of ten; other fractions are made of up to so many parts, smaller
# ones by holding out of what was held out.
_MAX_PARTS = 100


@dataclass(frozen=True)
class Rows:
    """Rows to deal out to splits.

    Attributes:
        targets: of labeled rows.
        task: what they mean.
        groups: int64 [n]; rows of one number stay together.
        order: int64 [n]: the rows in an order that does not depend on the CSV's.
        times: float64 [n], where parts are to follow each other in time.
    """

    targets: Targets
    task: Task
    groups: np.ndarray
    order: np.ndarray
    times: np.ndarray | None = None

    def chosen(self, rows: np.ndarray) -> "Rows":
        """Some of the rows, which are in order already."""
        times = None if self.times is None else self.times[rows]
        return Rows(self.targets[rows], self.task, self.groups[rows], np.arange(len(rows)), times)


def assign_folds(rows: Rows, folds: int, seed: int) -> np.ndarray:
    """The fold, 0 to `folds` - 1, of each row: int64 [n]; in time, where there are times."""
    if rows.times is not None:
        return _cut_by_time(rows, [k / folds for k in range(1, folds)])
    result = np.empty(len(rows.targets), np.int64)
    _, inverse, counts = np.unique(rows.groups, return_inverse=True, return_counts=True)
    alone = counts[inverse][rows.order] == 1
    for chosen in (rows.order[alone], rows.order[~alone]):
        if len(chosen):
            result[chosen] = _deal(rows.chosen(chosen), folds, seed)
    return result


def holdout(rows: Rows, fraction: float, seed: int) -> np.ndarray:
    """Whether each row is in the held-out `fraction`, the latest if there are times: bool [n]."""
    if rows.times is not None:
        return _cut_by_time(rows, [1 - fraction]) == 1
    smallest = 1 / _MAX_PARTS
    if fraction > 1 - smallest:
        return ~holdout(rows, 1 - fraction, seed)
    if fraction < smallest:
        held_out = assign_folds(rows, _MAX_PARTS, seed) == 0
        inside = rows.order[held_out[rows.order]]
        held_out[inside] = holdout(rows.chosen(inside), fraction * _MAX_PARTS, seed)
        return held_out
    num_held_out, parts = min(
        ((max(1, round(fraction * parts)), parts) for parts in range(2, _MAX_PARTS + 1)),
        key=lambda pair: (round(abs(pair[0] / pair[1] - fraction), 9), pair[1]),
    )
    return assign_folds(rows, parts, seed) < num_held_out


def _cut_by_time(rows: Rows, ends: Sequence[float]) -> np.ndarray:
    """The part of each row, where parts end after these shares of all rows: int64 [n].

    A group is where its latest row is, so that no part has an image of one before it; rows of one
    time are in one part.
    """
    assert rows.times is not None
    _, group = np.unique(rows.groups, return_inverse=True)
    latest = np.full(group.max(initial=-1) + 1, -np.inf)
    np.maximum.at(latest, group, rows.times)
    _, moment, counts = np.unique(latest[group], return_inverse=True, return_counts=True)
    middles = (np.cumsum(counts) - counts / 2) / len(rows.times)
    return np.searchsorted(ends, middles, side="right")[moment]


def _deal(rows: Rows, folds: int, seed: int) -> np.ndarray:
    """The fold of each row, where all groups have one row or all have several."""
    num_groups = len(np.unique(rows.groups))
    grouped = num_groups < len(rows.groups)
    if num_groups < folds:
        return _round_robin(rows.groups, folds, seed)
    if rows.task == Task.MULTI_LABEL:
        return _deal_many_labels(rows, folds, seed)
    classes = rows.targets.largest
    if np.bincount(classes).max() < folds:
        # scikit-learn refuses when no class has as many rows as there are folds.
        return _round_robin(rows.groups, folds, seed)
    if not grouped:
        return _stratified(classes, folds, seed)
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    split = splitter.split(np.zeros(len(classes)), classes, rows.groups)
    return _collect(split, len(classes))


def _stratified(classes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The folds of scikit-learn's shuffled StratifiedKFold, whose import takes a second."""
    random = np.random.RandomState(seed)
    _, first, numbers = np.unique(classes, return_index=True, return_inverse=True)
    # Classes in the order in which they first come; their rows, one after the other, take turns.
    order = np.argsort(first)
    ends = np.cumsum(np.bincount(numbers)[order])
    dealt = np.empty(len(classes), np.int64)
    for number, begin, end in zip(order, [0, *ends], ends, strict=False):
        counts = np.bincount(np.arange(begin, end) % folds, minlength=folds)
        turns = np.repeat(np.arange(folds), counts)
        random.shuffle(turns)
        dealt[numbers == number] = turns
    return dealt


def _deal_many_labels(rows: Rows, folds: int, seed: int) -> np.ndarray:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    unique, inverse = np.unique(rows.groups, return_inverse=True)
    num_classes = rows.targets.num_classes
    labels = np.zeros((len(unique), num_classes), np.int64)
    np.maximum.at(labels, inverse, rows.targets.present(num_classes))
    if labels.shape[1] == 1:
        # It does not accept a single column; its complement serves as a second one.
        labels = np.concatenate([labels, 1 - labels], 1)
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return _collect(splitter.split(np.zeros(len(unique)), labels), len(unique))[inverse]


def _round_robin(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Groups to folds by turns: for so few that there is nothing to stratify."""
    unique, inverse = np.unique(groups, return_inverse=True)
    turns = np.random.default_rng(seed).permutation(len(unique)) % folds
    return turns[inverse]


def _collect(splits: Iterable[tuple[np.ndarray, np.ndarray]], num_rows: int) -> np.ndarray:
    folds = np.empty(num_rows, np.int64)
    with warnings.catch_warnings():
        # A class with fewer rows than folds is no mistake here: the card shows its counts.
        warnings.filterwarnings("ignore", "The least populated class")
        for fold, (_, rows) in enumerate(splits):
            folds[rows] = fold
    return folds
