"""The combiner `probabilities`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ensemble.combine.activation import activate, activate_in_graph
from ensemble.combine.combiner import COMBINERS, Combiner

if TYPE_CHECKING:
    import tensorflow as tf


@COMBINERS.register("probabilities")
class ProbabilityMean(Combiner):
    """mean of activation(logits)."""

    summary = "mean of probabilities"

    def represent(self, logits: np.ndarray) -> np.ndarray:
        """Softmax or sigmoid."""
        return activate(logits, self.task)

    def finish(self, mean: np.ndarray) -> np.ndarray:
        """The mean is the result."""
        return mean

    def represent_in_graph(self, logits: tf.Tensor) -> tf.Tensor:
        """Softmax or sigmoid."""
        return activate_in_graph(logits, self.task)

    def finish_in_graph(self, mean: tf.Tensor) -> tf.Tensor:
        """The mean is the result."""
        return mean
