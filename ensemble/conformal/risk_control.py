"""The method `risk_control`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ensemble.conformal.method import SET_METHODS, TOLERANCE, ThresholdSets
from orchard.formats import Task

if TYPE_CHECKING:
    from typing import Self


@SET_METHODS.register("risk_control")
@dataclass(frozen=True)
class RiskControl(ThresholdSets):
    """All classes from one probability on, so that few of an image's own are missed on average.

    Conformal risk control (Angelopoulos, Bates, Fisch, Lei & Schuster 2022, arXiv 2208.02814,
    section 2) of the share of an image's classes that its set lacks, which is at most 1 and 0 for
    an image without any: the largest threshold t with n / (n + 1) risk(t) + 1 / (n + 1) <= 1 -
    level. It is found exactly, since the risk changes at the probabilities of true classes alone.
    """

    task: ClassVar[Task] = Task.MULTI_LABEL
    summary: ClassVar[str] = "conformal risk control: all classes from one probability on"
    promise: ClassVar[str] = "a set holds {level:.4g} of its image's classes on average, or more"

    @classmethod
    def fit(cls, probabilities: np.ndarray, targets: np.ndarray, level: float, seed: int) -> Self:
        """The largest threshold of a small enough risk."""
        del seed
        present = targets >= 0.5
        found, count = probabilities[present], len(targets)
        weights = (present / np.maximum(present.sum(axis=1, keepdims=True), 1))[present]
        order = np.argsort(found, kind="stable")
        # What is missed, summed over the images, by a threshold just above each probability.
        missed = np.cumsum(weights[order])
        beyond = np.flatnonzero(missed > (count + 1) * (1.0 - level) - 1.0 + 1e-9)
        threshold = found[order[beyond[0]]] if len(beyond) else 1.0
        return cls(float(threshold) - TOLERANCE)

    @classmethod
    def kept(cls, sets: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The share of each image's classes that its set holds; NaN for images without any."""
        count = targets.sum(axis=1)
        held = (sets & targets).sum(axis=1)
        return np.divide(held, count, out=np.full(len(sets), np.nan), where=count > 0)
