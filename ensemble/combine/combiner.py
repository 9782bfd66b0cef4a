"""What a way of combining members is: a class with its formula in NumPy and in TensorFlow."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ensemble.combine.activation import activate_in_graph, to_logits_in_graph
from orchard.formats import Task
from orchard.registry import Registry

if TYPE_CHECKING:
    from typing import Self

    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Combiner(ABC):
    """Members' logits -> the ensemble's probabilities: `finish(mean of represent(logits))`.

    Throughout, logits are those of one member, divided by its temperature, and the mean is weighted
    by the members' weights, which are at least 0 and sum to 1. Because only `represent` sees single
    members, the search for weights computes it once and pays for `finish` alone.

    `represent` and `finish` are the formula in NumPy, in float64. Their counterparts `_in_graph`
    are the same formula in TensorFlow ops, in float32: they become part of the exported SavedModel,
    which runs without this code. `import tensorflow` inside them or lazily, because everything else
    here works without TensorFlow.

    Args:
        task: one label an image (softmax) or any number of them (sigmoids).
    """

    summary: ClassVar[str]
    """What is averaged, in a few words, for the report."""

    gives_probabilities: ClassVar[bool] = True
    """False where the result only ranks images: it is then neither calibrated nor written as soft
    labels, and judged by ranking metrics alone."""

    caveat: ClassVar[str] = ""
    """A sentence for the report about what the result must not be taken for."""

    task: Task

    def fitted_to(self, logits: np.ndarray) -> Self:
        """A combiner for one member that may use what it saw of that member's logits.

        Args:
            logits: float64 [rows, classes], of the rows to predict.
        """
        del logits
        return self

    @abstractmethod
    def represent(self, logits: np.ndarray) -> np.ndarray:
        """One member's logits float64 [rows, classes] in the space where members are averaged."""

    @abstractmethod
    def finish(self, mean: np.ndarray) -> np.ndarray:
        """Weighted mean of representations [rows, classes] -> probabilities float64."""

    @abstractmethod
    def represent_in_graph(self, logits: tf.Tensor) -> tf.Tensor:
        """`represent` in TensorFlow ops: float32 [batch, classes]."""

    @abstractmethod
    def finish_in_graph(self, mean: tf.Tensor) -> tf.Tensor:
        """`finish` in TensorFlow ops: float32 [batch, classes]."""

    def calibrate_in_graph(self, mean: tf.Tensor, temperature: np.ndarray) -> tf.Tensor:
        """`finish_in_graph`, with the logits of its result divided by a temperature.

        Override it where the mean itself holds logits: float32 probabilities close to 1 have lost
        them.

        Args:
            mean: weighted mean of representations, float32 [batch, classes].
            temperature: float64 [1] or [classes].
        """
        probabilities = self.finish_in_graph(mean)
        if np.all(temperature == 1.0):
            return probabilities
        scaled = to_logits_in_graph(probabilities, self.task) / temperature.astype(np.float32)
        return activate_in_graph(scaled, self.task)


COMBINERS: Registry[type[Combiner]] = Registry("combiner", package="ensemble.combine")
