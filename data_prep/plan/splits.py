"""Which split each row goes to: stratified by label, duplicates and groups kept together.

Rows that belong together are one unit. Units of one row are dealt out by scikit-learn's
`StratifiedKFold`, units of several by `StratifiedGroupKFold`, many-label rows by iterative
stratification (Sechidis, Tsoumakas, Vlahavas: "On the Stratification of Multi-Label Data", 2011;
package iterative-stratification). Rows with times are cut by these instead.
"""

import itertools
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


@dataclass(frozen=True)
class Filled:
    """What splits have already, and are to have.

    Attributes:
        counts: float64 [splits, classes], rows of each class that are there.
        sizes: float64 [splits], rows that are there.
        shares: float64 [splits], of all rows in the end; their sum is 1.
    """

    counts: np.ndarray
    sizes: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(
        cls,
        targets: Targets,
        task: Task,
        names: np.ndarray,
        splits: np.ndarray,
        shares: Sequence[float],
    ) -> "Filled":
        """What is there: rows and the name of the split that each is in.

        Args:
            targets: of the rows.
            task: what they mean.
            names: the split of each row.
            splits: the splits to fill; rows of others do not count.
            shares: of each split.
        """
        numbers = {name: number for number, name in enumerate(splits.tolist())}
        found = map(numbers.get, names.tolist(), itertools.repeat(-1))
        split = np.fromiter(found, np.int64, len(names))
        row, label = _labels(targets, task)
        counts = np.zeros((len(splits), targets.num_classes))
        inside = split[row] >= 0
        np.add.at(counts, (split[row[inside]], label[inside]), 1)
        sizes = np.bincount(split[split >= 0], minlength=len(splits)).astype(float)
        return cls(counts, sizes, np.asarray(shares, float))


def fill_up(rows: Rows, filled: Filled) -> np.ndarray:
    """The split, 0 to len(shares) - 1, of each row, so that all get their shares: int64 [n].

    Iterative stratification (Sechidis et al. 2011, algorithm 1) that begins with what is there:
    the class with the fewest rows left is dealt out first, each unit of rows to the split that
    lacks most of the class, then most rows.
    """
    num_classes = rows.targets.num_classes
    _, unit, sizes = np.unique(rows.groups, return_inverse=True, return_counts=True)
    rank = np.empty(len(rows.targets), np.int64)
    rank[rows.order] = np.arange(len(rank))
    first = np.full(len(sizes), len(rank))
    np.minimum.at(first, unit, rank)
    row, label = _labels(rows.targets, rows.task)
    labels: list[dict[int, int]] = [{} for _ in sizes]
    for at, one in zip(unit[row].tolist(), label.tolist(), strict=True):
        labels[at][one] = labels[at].get(one, 0) + 1
    counts = filled.counts.sum(0) + np.bincount(label, minlength=num_classes)
    lacking = np.outer(filled.shares, counts) - filled.counts
    room = filled.shares * (filled.sizes.sum() + len(rank)) - filled.sizes
    # The large ones first, since the small ones can even out what they leave.
    units = np.lexsort((first, -sizes)).tolist()
    holders: dict[int, list[int]] = {}
    for at in units:
        for one in labels[at]:
            holders.setdefault(one, []).append(at)
    left = {one: len(those) for one, those in holders.items()}
    result = np.full(len(sizes), -1)

    def put(at: int, wanted: np.ndarray) -> None:
        # What differs in the last bits is a tie.
        split = int(np.lexsort((-room.round(6), -wanted.round(6)))[0])
        result[at] = split
        room[split] -= sizes[at]
        for one, count in labels[at].items():
            lacking[split, one] -= count
            left[one] -= 1

    while left:
        rarest = min(left, key=lambda one: (left[one], one))
        for at in holders[rarest]:
            if result[at] < 0:
                put(at, lacking[:, rarest])
        del left[rarest]
    for at in units:
        if result[at] < 0:
            put(at, room)
    return result[unit]


def _labels(targets: Targets, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """(row, class) of each label; of one label a row the largest."""
    if task == Task.SINGLE_LABEL:
        rows = np.flatnonzero(~targets.unlabeled)
        return rows, targets.largest[rows]
    row, label = np.nonzero(targets.present(targets.num_classes))
    return row, label


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
