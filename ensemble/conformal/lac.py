"""The method `lac`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ensemble.conformal.method import SET_METHODS, TOLERANCE, SetMethod, covers, upper_quantile
from orchard.formats import Task

if TYPE_CHECKING:
    from typing import Self

    import tensorflow as tf


@SET_METHODS.register("lac")
@dataclass(frozen=True)
class LeastAmbiguous(SetMethod):
    """All classes from one probability on: the smallest sets on average, and some are empty.

    Sadinle, Lei & Wasserman 2019, "Least Ambiguous Set-Valued Classifiers With Bounded Error
    Levels". An image whose set is empty is like none that was seen.

    Attributes:
        least_probability: of the classes in a set.
    """

    task: ClassVar[Task] = Task.SINGLE_LABEL
    summary: ClassVar[str] = "least ambiguous sets: all classes from one probability on"
    promise: ClassVar[str] = "the true class is in the set of {level:.4g} of the images"

    least_probability: float

    @classmethod
    def fit(cls, probabilities: np.ndarray, targets: np.ndarray, level: float, seed: int) -> Self:
        """By the quantile of 1 - the probability of the true class."""
        del seed
        true = np.take_along_axis(probabilities, targets.argmax(axis=1)[:, np.newaxis], axis=1)
        return cls(1.0 - upper_quantile(1.0 - true[:, 0], level) - TOLERANCE)

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """The classes from that probability on."""
        return probabilities >= self.least_probability

    def sets_in_graph(self, probabilities: tf.Tensor) -> tf.Tensor:
        """The classes from that probability on."""
        return probabilities >= self.least_probability

    @classmethod
    def kept(cls, sets: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Whether the true class is in the set."""
        return covers(sets, targets)
