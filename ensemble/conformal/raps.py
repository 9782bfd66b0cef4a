"""The method `raps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ensemble.conformal.method import SET_METHODS, TOLERANCE, SetMethod, covers, upper_quantile
from ensemble.fitting import spread_parts
from orchard.formats import Task
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    from typing import Self

    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

# Angelopoulos et al. 2021, appendix E.
_PENALTIES = (0.001, 0.01, 0.1, 0.2, 0.5)
_TUNING_SHARE = 5  # One row in five.


@SET_METHODS.register("raps")
@dataclass(frozen=True)
class Raps(SetMethod):
    """Regularized adaptive prediction sets, without randomization.

    Angelopoulos, Bates, Malik & Jordan 2021, "Uncertainty Sets for Image Classifiers using
    Conformal Prediction" (arXiv 2009.14193). Classes are taken from the likeliest on. The score of
    the class at rank r is the probability of all before it, plus `penalty` for each of these beyond
    the first `free_classes`; a set has the classes of a score up to `max_score`. That is
    algorithm 3 with U = 1, for calibration and prediction alike: the likeliest class, whose score
    is 0, is in every set. So coverage is exact where the likeliest class alone covers less than is
    asked, and its accuracy where it covers more: only sets that are empty at random cover less.

    `free_classes` and `penalty` are chosen on a fifth of the images, the penalty for the smallest
    sets (appendix E), and `max_score` on the others.

    Attributes:
        max_score: of the classes in a set.
        penalty: lambda.
        free_classes: k_reg.
    """

    task: ClassVar[Task] = Task.SINGLE_LABEL
    summary: ClassVar[str] = "RAPS: the likeliest classes until enough of the probability is there"
    promise: ClassVar[str] = "the true class is in the set of {level:.4g} of the images, or more"

    max_score: float
    penalty: float
    free_classes: int

    @classmethod
    def fit(cls, probabilities: np.ndarray, targets: np.ndarray, level: float, seed: int) -> Self:
        """Choose the penalty on a part, and the score on the rest."""
        tuning = spread_parts(targets, _TUNING_SHARE, seed) == 0
        true = targets.argmax(axis=1)
        penalty, free = cls.tuned(probabilities[tuning], true[tuning], level)
        return cls.calibrated(probabilities[~tuning], true[~tuning], level, penalty, free)

    @classmethod
    def tuned(cls, probabilities: np.ndarray, true: np.ndarray, level: float) -> tuple[float, int]:
        """Penalty and free classes for the smallest sets on these rows.

        Args:
            probabilities: float64 [rows, classes].
            true: int [rows]: the true classes.
            level: coverage.
        """
        ranks = np.take_along_axis(_ranks(probabilities), true[:, np.newaxis], axis=1)[:, 0]
        largest = upper_quantile(ranks + 1.0, level)
        free = int(min(largest, probabilities.shape[1]))
        fitted = [
            cls.calibrated(probabilities, true, level, penalty, free) for penalty in _PENALTIES
        ]
        sizes = [one.sets(probabilities).sum() for one in fitted]
        return _PENALTIES[int(np.argmin(sizes))], free

    @classmethod
    def calibrated(
        cls, probabilities: np.ndarray, true: np.ndarray, level: float, penalty: float, free: int
    ) -> Self:
        """The largest score, for a penalty and free classes."""
        scores = _scores(probabilities, penalty, free)
        of_true = np.take_along_axis(scores, true[:, np.newaxis], axis=1)[:, 0]
        return cls(upper_quantile(of_true, level) + TOLERANCE, penalty, free)

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """The classes up to that score."""
        return _scores(probabilities, self.penalty, self.free_classes) <= self.max_score

    def sets_in_graph(self, probabilities: tf.Tensor) -> tf.Tensor:
        """The classes up to that score."""
        order = tf.argsort(probabilities, axis=1, direction="DESCENDING", stable=True)
        ordered = tf.gather(probabilities, order, batch_dims=1)
        before = tf.cumsum(ordered, axis=1, exclusive=True)
        places = np.maximum(np.arange(probabilities.shape[1]) - self.free_classes, 0)
        inside = before + tf.constant(self.penalty * places, tf.float32) <= self.max_score
        return tf.gather(inside, tf.argsort(order, axis=1, stable=True), batch_dims=1)

    @classmethod
    def kept(cls, sets: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Whether the true class is in the set."""
        return covers(sets, targets)


def _ranks(probabilities: np.ndarray) -> np.ndarray:
    """The place of each class in its row, 0 for the likeliest: int64 [rows, classes]."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return np.argsort(order, axis=1, kind="stable")


def _scores(probabilities: np.ndarray, penalty: float, free: int) -> np.ndarray:
    ordered = -np.sort(-probabilities, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    before += penalty * np.maximum(np.arange(probabilities.shape[1]) - free, 0)
    return np.take_along_axis(before, _ranks(probabilities), axis=1)
