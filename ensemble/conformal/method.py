"""What a way of making prediction sets is: a class with its formula in NumPy and in TensorFlow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from orchard.formats import Task
from orchard.registry import Registry

if TYPE_CHECKING:
    from typing import Self

    import tensorflow as tf

# What scores may exceed a threshold by: float32 and float64 have to decide alike.
TOLERANCE = 1e-6


class SetMethod(ABC):
    """Probabilities to sets of classes, fitted to images that no network trained on.

    A frozen dataclass, whose fields are what was fitted: numbers alone, which weights.json shows.

    Sets are a function of the probabilities alone: there is no randomization, so that a file gives
    the same set whatever its name, in predictions.csv and in the exported model.
    """

    task: ClassVar[Task]
    """What it is for."""

    summary: ClassVar[str]
    """What it is, in a few words, for the report."""

    promise: ClassVar[str]
    """What it holds of new images like the held-out ones, for the report; {level} is the flag."""

    @classmethod
    @abstractmethod
    def fit(cls, probabilities: np.ndarray, targets: np.ndarray, level: float, seed: int) -> Self:
        """Fit it.

        Args:
            probabilities: float64 [rows, classes] of held-out images.
            targets: float [rows, classes].
            level: what is promised, above 0 and below 1.
            seed: of whatever is drawn.
        """

    @abstractmethod
    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """Which classes are in each row's set: bool [rows, classes]."""

    @abstractmethod
    def sets_in_graph(self, probabilities: tf.Tensor) -> tf.Tensor:
        """`sets` of float32 [batch, classes]."""

    @classmethod
    @abstractmethod
    def kept(cls, sets: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """How far each row's set keeps the promise, float64 [rows], 0..1; rows without any are NaN.

        Args:
            sets: bool [rows, classes].
            targets: bool [rows, classes].
        """


@dataclass(frozen=True)
class ThresholdSets(SetMethod):
    """A method whose sets are all classes from one probability on.

    Attributes:
        least_probability: of the classes in a set.
    """

    least_probability: float

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """The classes from that probability on."""
        return probabilities >= self.least_probability

    def sets_in_graph(self, probabilities: tf.Tensor) -> tf.Tensor:
        """The classes from that probability on."""
        return probabilities >= self.least_probability


SET_METHODS: Registry[type[SetMethod]] = Registry("method of sets", package="ensemble.conformal")


def upper_quantile(scores: np.ndarray, level: float) -> float:
    """The ceil((n + 1) level)-th smallest of n scores; infinite where n is too small for it.

    A new score of the same distribution is at most that with a probability of `level` or more
    (Angelopoulos & Bates 2023, "Conformal Prediction: A Gentle Introduction", section 1).
    """
    rank = int(np.ceil((len(scores) + 1) * level - 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else float("inf")


def covers(sets: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """1 where a row's true class, of bool targets, is in its set: float64 [rows]."""
    return (sets & targets).any(axis=1).astype(np.float64)
