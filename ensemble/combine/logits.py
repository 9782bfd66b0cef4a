"""The combiner `logits`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ensemble.combine.activation import activate, activate_in_graph
from ensemble.combine.combiner import COMBINERS, Combiner

if TYPE_CHECKING:
    import tensorflow as tf


@COMBINERS.register("logits")
class LogitMean(Combiner):
    """activation(mean of logits)."""

    summary: ClassVar[str] = "mean of logits"

    def represent(self, logits: np.ndarray) -> np.ndarray:
        """The logits as they are."""
        return logits

    def finish(self, mean: np.ndarray) -> np.ndarray:
        """Softmax or sigmoid of the mean."""
        return activate(mean, self.task)

    def represent_in_graph(self, logits: tf.Tensor) -> tf.Tensor:
        """The logits as they are."""
        return logits

    def finish_in_graph(self, mean: tf.Tensor) -> tf.Tensor:
        """Softmax or sigmoid of the mean."""
        return activate_in_graph(mean, self.task)

    def calibrate_in_graph(self, mean: tf.Tensor, temperature: np.ndarray) -> tf.Tensor:
        """The temperature divides the mean itself."""
        return activate_in_graph(mean / temperature.astype(np.float32), self.task)
