"""Everything between the members' logits and the ensemble's probabilities, in one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ensemble.combine.activation import rescale
from ensemble.combine.combiner import Combiner
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@dataclass(frozen=True)
class Combination:
    """A fitted ensemble, as a function of logits.

    Attributes:
        combiners: one a member, of one class and task: each may know its member's logits.
        weights: float64 [members], >= 0, sum 1.
        member_temperatures: float64 [members, 1] (one-label) or [members, classes] (many-label),
            > 0.
        temperature: float64 [1] or [classes]: divides the log-odds of the combined probabilities.
    """

    combiners: tuple[Combiner, ...]
    weights: np.ndarray
    member_temperatures: np.ndarray
    temperature: np.ndarray

    @property
    def combiner(self) -> Combiner:
        """What all members share: the last step and the class's facts."""
        return self.combiners[0]

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Logits float [members, rows, classes] -> probabilities float64 [rows, classes]."""
        mean = np.zeros(logits.shape[1:])
        for member in range(len(self.combiners)):
            mean += self.weighted(member, logits[member])
        return rescale(self.combiner.finish(mean), self.temperature, self.combiner.task)

    def weighted(self, member: int, logits: np.ndarray) -> np.ndarray:
        """One member's part of the mean, of its logits float [rows, classes]: float64."""
        scaled = logits.astype(np.float64) / self.member_temperatures[member]
        return self.weights[member] * self.combiners[member].represent(scaled)

    def weighted_in_graph(self, member: int, logits: tf.Tensor) -> tf.Tensor:
        """`weighted` of logits float32 [batch, classes]."""
        scaled = logits / self.member_temperatures[member].astype(np.float32)
        return float(self.weights[member]) * self.combiners[member].represent_in_graph(scaled)

    def in_graph(self, logits: Mapping[int, tf.Tensor]) -> tf.Tensor:
        """The same in TensorFlow ops, for the exported model.

        Args:
            logits: member -> float32 [batch, classes], of every member that has a weight.

        Returns:
            float32 [batch, classes].
        """
        terms = [
            self.weighted_in_graph(member, logits[member])
            for member in np.flatnonzero(self.weights).tolist()
        ]
        return self.combiner.calibrate_in_graph(tf.add_n(terms), self.temperature)
