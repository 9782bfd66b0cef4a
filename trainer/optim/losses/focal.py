"""The focal loss (Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchard.flags import option
from orchard.lazy import lazy_import
from trainer.optim.loss import LOSSES, Loss

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")


@LOSSES.register("focal")
@dataclass(frozen=True, kw_only=True)
class Focal(Loss):
    """Cross-entropy in which confident, correct predictions count less."""

    focal_gamma: float = option(2.0, "(focal) How much easy examples are turned down.", at_least=0)

    def one_label(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Summed over soft targets."""
        log_p = tf.nn.log_softmax(logits)
        return -tf.reduce_sum(targets * self._turned_down(1 - tf.exp(log_p)) * log_p, axis=-1)

    def many_labels(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Of each sigmoid."""
        p = tf.sigmoid(logits)
        cells = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
        return cells * self._turned_down(targets * (1 - p) + (1 - targets) * p)

    def _turned_down(self, wrongness: tf.Tensor) -> tf.Tensor:
        # A power below 1 has an infinite slope at 0, which times 0 would be NaN.
        return tf.pow(tf.maximum(wrongness, 1e-7), self.focal_gamma)
