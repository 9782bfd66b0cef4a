"""Logarithms of probabilities, weighted class by class: what `--weights=stack` combines."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ensemble.combine.logits import LogitMean
from orchard.formats import Task
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
    from scipy import special
else:
    special = lazy_import("scipy.special")
    tf = lazy_import("tensorflow")


@dataclasses.dataclass(frozen=True)
class LogLinear(LogitMean):
    """activation(mean of (scales x log-probabilities + offsets)), class by class.

    With many labels the log-probabilities are log-odds, which are the logits. Scales of 1 and
    offsets of 0 make it the mean of logits; what follows the mean is the same for any. It is no
    `--combine`: its numbers are learned.

    Args:
        scales: float64 [classes], of one member; None: 1.
        offsets: float64 [classes]; None: 0.
    """

    summary: ClassVar[str] = "sum of log-probabilities, weighted by class"

    scales: np.ndarray | None = None
    offsets: np.ndarray | None = None

    # Arrays are neither equal nor unequal, and have no hash: each is equal to itself alone.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def represent(self, logits: np.ndarray) -> np.ndarray:
        """Log-probabilities or log-odds, scaled and shifted."""
        logs = special.log_softmax(logits, axis=1) if self.task == Task.SINGLE_LABEL else logits
        if self.scales is not None:
            logs = logs * self.scales
        return logs if self.offsets is None else logs + self.offsets

    def represent_in_graph(self, logits: tf.Tensor) -> tf.Tensor:
        """Log-probabilities or log-odds, scaled and shifted."""
        logs = tf.nn.log_softmax(logits) if self.task == Task.SINGLE_LABEL else logits
        if self.scales is not None:
            logs = logs * self.scales.astype(np.float32)
        return logs if self.offsets is None else logs + self.offsets.astype(np.float32)
