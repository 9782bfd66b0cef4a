"""Everything between the members' logits and the ensemble's probabilities, in one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ensemble.combine.activation import rescale
from ensemble.combine.combiner import Combiner
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    from typing import Self

    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


class MemberBatch(Protocol):
    """Some images of a batch, in a graph, which any member can be asked about."""

    def logits(self, members: Sequence[int]) -> Mapping[int, tf.Tensor]:
        """Runs these members on the images: float32 [images, classes] of each."""

    def take(self, rows: tf.Tensor) -> Self:
        """The images at these positions, int [n]."""


class Rule(Protocol):
    """How members make the ensemble's probabilities: all of them at once, or some of them first."""

    @property
    def combiner(self) -> Combiner:
        """What all members share."""

    @property
    def members(self) -> tuple[int, ...]:
        """Those that run at all."""

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Logits float [members, rows, classes] -> probabilities float64 [rows, classes]."""

    @property
    def is_dynamic(self) -> bool:
        """Whether shapes depend on the images, so that XLA cannot compile `predict_in_graph`."""

    def predict_in_graph(self, batch: MemberBatch) -> tf.Tensor:
        """The same in TensorFlow ops: float32 [batch, classes]."""

    def predict_in_static_graph(self, batch: MemberBatch) -> tf.Tensor:
        """`predict_in_graph` with shapes that are known before: all members see all images."""


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

    @property
    def members(self) -> tuple[int, ...]:
        """Those that have a weight."""
        return tuple(np.flatnonzero(self.weights).tolist())

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
        terms = [self.weighted_in_graph(member, logits[member]) for member in self.members]
        return self.combiner.calibrate_in_graph(tf.add_n(terms), self.temperature)

    def predict_in_graph(self, batch: MemberBatch) -> tf.Tensor:
        """`in_graph` of the logits of a batch."""
        return self.in_graph(batch.logits(self.members))

    @property
    def is_dynamic(self) -> bool:
        """All members see all images."""
        return False

    def predict_in_static_graph(self, batch: MemberBatch) -> tf.Tensor:
        """The same."""
        return self.predict_in_graph(batch)
