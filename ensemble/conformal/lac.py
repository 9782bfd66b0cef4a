"""The method `lac`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ensemble.conformal.method import SET_METHODS, TOLERANCE, ThresholdSets, covers, upper_quantile
from orchard.formats import Task

if TYPE_CHECKING:
    from typing import Self


@SET_METHODS.register("lac")
@dataclass(frozen=True)
class LeastAmbiguous(ThresholdSets):
    """All classes from one probability on: the smallest sets on average, and some are empty.

    Sadinle, Lei & Wasserman 2019, "Least Ambiguous Set-Valued Classifiers With Bounded Error
    Levels". An image whose set is empty is like none that was seen.
    """

    task: ClassVar[Task] = Task.SINGLE_LABEL
    summary: ClassVar[str] = "least ambiguous sets: all classes from one probability on"
    promise: ClassVar[str] = "the true class is in the set of {level:.4g} of the images"

    @classmethod
    def fit(cls, probabilities: np.ndarray, targets: np.ndarray, level: float, seed: int) -> Self:
        """By the quantile of 1 - the probability of the true class."""
        del seed
        true = np.take_along_axis(probabilities, targets.argmax(axis=1)[:, np.newaxis], axis=1)
        return cls(1.0 - upper_quantile(1.0 - true[:, 0], level) - TOLERANCE)

    @classmethod
    def kept(cls, sets: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Whether the true class is in the set."""
        return covers(sets, targets)
