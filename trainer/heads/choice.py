"""How strongly to hold a head's weights down: found on training rows alone.

Parts of the training rows are held out in turn ("inner folds"), and the weight decay whose heads
have the lowest loss on them is taken. So no score on the evaluation split has picked anything, and
networks on all rows can choose, too (nested cross-validation: Varma and Simon 2006).
"""

import dataclasses
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from orchard.parallel import DaemonExecutor
from trainer.evaluation import row_losses
from trainer.heads.head import Head, HeadLoss, Parameters
from trainer.heads.solver import HeadProblem

_NUM_INNER_FOLDS = 5
# Below this, float32 has nothing more to say of a gradient.
_FLOAT32_TOLERANCE = 1e-4


@dataclass(frozen=True)
class FeatureRows:
    """What a head learns from: v views of n records.

    Attributes:
        views: each float32 [n, num_features]; the first is of the images as they are.
        targets: float32 [n, num_classes].
        groups: int [n], the inner fold of each record.
    """

    views: tuple[np.ndarray, ...]
    targets: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Choice:
    """A solved head, and why it is this one.

    Attributes:
        parameters: of the head, for standardized features.
        decay: the weight decay that was chosen.
        losses: decay -> mean loss on the inner folds, of those that were tried.
        mean: float64 [num_features], of the training features.
        scale: float64 [num_features], their standard deviation; 1 where it is nearly 0.
    """

    parameters: Parameters
    decay: float
    losses: dict[float, float]
    mean: np.ndarray
    scale: np.ndarray


def inner_folds(ids: np.ndarray, split_of: np.ndarray) -> np.ndarray:
    """The inner fold of each training record, int [n], 0 to 4.

    The dataset's own folds where there are two or more of them, which keep groups of records
    together; else equal parts in the order of a hash of the id.

    Args:
        ids: str [n].
        split_of: int [n], which training split each record is from.
    """
    numbers = np.unique(split_of, return_inverse=True)[1]
    if numbers.max() > 0:
        return numbers % _NUM_INNER_FOLDS
    hashes = np.array([zlib.crc32(image_id.encode()) for image_id in ids.tolist()])
    return np.argsort(np.argsort(hashes, kind="stable"), kind="stable") % _NUM_INNER_FOLDS


def choose_head(head: Head, loss: HeadLoss, rows: FeatureRows) -> Choice:
    """Choose the weight decay, and solve the head on all rows."""
    together = np.concatenate(rows.views)
    mean, scale = together.mean(axis=0, dtype=np.float64), together.std(axis=0, dtype=np.float64)
    scale[scale < 1e-6] = 1.0
    rows = dataclasses.replace(
        rows, views=tuple(((view - mean) / scale).astype(np.float32) for view in rows.views)
    )
    # Threads of BLAS wait for each other where other processes have the cores: ours do not.
    with threadpool_limits(1, user_api="blas"):
        tried = _InnerFolds(head, loss, rows)
        losses = _search(head, tried.mean_loss)
        decay = min(losses, key=lambda one: losses[one])
        features = np.concatenate(rows.views)
        targets = np.concatenate([rows.targets] * len(rows.views))
        problem = HeadProblem(head, loss, features, targets, decay)
        tolerance = max(head.tolerance, _FLOAT32_TOLERANCE)
        parameters = problem.descend(tried.middle(decay), tolerance, head.max_steps)
        if head.is_convex:
            parameters = problem.refine(parameters, head.tolerance)
    return Choice(parameters, decay, losses, mean, scale)


class _InnerFolds:
    """Heads that have not seen an inner fold, and their loss on it."""

    def __init__(self, head: Head, loss: HeadLoss, rows: FeatureRows):
        self._head, self._loss, self._rows = head, loss, rows
        folds = np.unique(rows.groups)
        # Of a single record nothing can be held out.
        self._folds = folds[: head.max_held_out].tolist() if len(folds) > 1 else []
        self._solved: dict[float, list[Parameters]] = {}
        self._last = [head.initial() for _ in self._folds]

    def mean_loss(self, decay: float) -> float:
        """Cross-entropy of the held-out records as they are, in nats."""
        if not self._folds:
            return math.nan
        with DaemonExecutor(min(len(self._folds), len(os.sched_getaffinity(0)))) as pool:
            found = list(pool.map(lambda at: self._solve(at, decay), range(len(self._folds))))
        self._solved[decay] = [parameters for parameters, _ in found]
        if self._head.is_convex:
            self._last = self._solved[decay]
        return float(np.mean(np.concatenate([losses for _, losses in found])))

    def middle(self, decay: float) -> Parameters:
        """Where to start for all rows."""
        if not self._head.is_convex or decay not in self._solved:
            return self._head.initial()
        return np.mean(self._solved[decay], axis=0)

    def _solve(self, at: int, decay: float) -> tuple[Parameters, np.ndarray]:
        rows, held_out = self._rows, self._rows.groups == self._folds[at]
        problem = HeadProblem(
            self._head,
            self._loss,
            np.concatenate([view[~held_out] for view in rows.views]),
            np.concatenate([rows.targets[~held_out]] * len(rows.views)),
            decay,
        )
        tolerance = _rough_tolerance(decay)
        parameters = problem.descend(self._last[at], tolerance, self._head.max_steps)
        logits = self._head.logits(parameters, rows.views[0][held_out])
        return parameters, row_losses(logits, rows.targets[held_out], self._loss.task)


def _rough_tolerance(decay: float) -> float:
    """Good enough to compare decays; finer for weak ones, which pull with less than the gradient.

    Else all weak ones would be taken for equal: each starts from the solution of the one before.
    """
    return min(1e-3, max(0.03 * decay, 1e-6))


def _search(head: Head, loss_of: Callable[[float], float]) -> dict[float, float]:
    """Losses by decay, of those from where the head starts to just beyond the best one."""
    decays = list(head.decays)
    start = decays.index(head.start_at)
    losses = {head.start_at: loss_of(head.start_at)}
    for direction in (1, -1):
        at = start + direction
        while 0 <= at < len(decays):
            losses[decays[at]] = loss_of(decays[at])
            if not losses[decays[at]] < losses[decays[at - direction]]:
                break
            at += direction
        if abs(at - start) > 1:  # It went down this way; the other way is up.
            break
    return losses
