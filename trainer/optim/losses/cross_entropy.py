"""Cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.lazy import lazy_import
from trainer.optim.loss import LOSSES, Loss

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@LOSSES.register("cross_entropy")
@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss):
    """In nats."""

    def one_label(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Of the softmax."""
        return -tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=-1)

    def many_labels(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Of each sigmoid."""
        return tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
