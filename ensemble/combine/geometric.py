"""The combiner `geometric`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ensemble.combine.activation import SMALLEST, activate, activate_in_graph
from ensemble.combine.combiner import COMBINERS, Combiner
from orchard.formats import Task
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@COMBINERS.register("geometric")
class GeometricMean(Combiner):
    """exp(mean of log(activation(logits))), scaled to rows of sum 1 in one-label tasks.

    There it equals the mean of logits, because the softmax's normalizer cancels.
    """

    summary = "geometric mean of probabilities"

    def represent(self, logits: np.ndarray) -> np.ndarray:
        """Logarithms of the probabilities."""
        return np.log(np.maximum(activate(logits, self.task), SMALLEST))

    def finish(self, mean: np.ndarray) -> np.ndarray:
        """Back from logarithms."""
        return activate(mean, self.task) if self.task == Task.SINGLE_LABEL else np.exp(mean)

    def represent_in_graph(self, logits: tf.Tensor) -> tf.Tensor:
        """Logarithms of the probabilities."""
        if self.task == Task.SINGLE_LABEL:
            return tf.nn.log_softmax(logits)
        return tf.math.log_sigmoid(logits)

    def finish_in_graph(self, mean: tf.Tensor) -> tf.Tensor:
        """Back from logarithms."""
        if self.task == Task.SINGLE_LABEL:
            return activate_in_graph(mean, self.task)
        return tf.exp(mean)

    def calibrate_in_graph(self, mean: tf.Tensor, temperature: np.ndarray) -> tf.Tensor:
        """In one-label tasks the mean is logits, which the temperature divides."""
        if self.task == Task.SINGLE_LABEL:
            return activate_in_graph(mean / temperature.astype(np.float32), self.task)
        return super().calibrate_in_graph(mean, temperature)
