"""What training minimizes: a loss, with label smoothing and class weights around it.

Shapes: logits float32 [batch, num_classes]; targets float32 [batch, num_classes], 0..1.
"""

from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from orchard.errors import OrchardError
from orchard.formats import Task
from trainer.optim.loss import Loss
from trainer.optim.losses.cross_entropy import CrossEntropy
from trainer.optim.options import parse_class_weights


@dataclass(frozen=True)
class Objective:
    """What training minimizes.

    Attributes:
        task: one label an image: softmax; many: the mean over classes of a sigmoid each.
        loss: the formula.
        label_smoothing: share of a target spread evenly (one label), or pulled toward 0.5.
        class_weights: float32 [num_classes] or None. One label: an example weighs what its
            classes do. Many labels: a positive cell weighs so much, a negative one 1.
    """

    task: Task
    loss: Loss = field(default_factory=CrossEntropy)
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None

    def per_example(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """float32 [batch]: the loss of each example."""
        logits = tf.cast(logits, tf.float32)
        if self.task == Task.SINGLE_LABEL:
            return self._one_label(logits, targets)
        return self._many_labels(logits, targets)

    def _one_label(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        # Weighted by the given targets, not the smoothed ones: smoothing is no class change.
        weight = 1.0
        if self.class_weights is not None:
            weight = tf.linalg.matvec(targets, tf.constant(self.class_weights, tf.float32))
        num_classes = tf.cast(tf.shape(targets)[-1], tf.float32)
        targets = targets * (1 - self.label_smoothing) + self.label_smoothing / num_classes
        return self.loss.one_label(logits, targets) * weight

    def _many_labels(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        weight = 1.0
        if self.class_weights is not None:
            positive = tf.constant(self.class_weights, tf.float32)
            weight = 1 + (positive - 1) * targets
        targets = targets * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        return tf.reduce_mean(self.loss.many_labels(logits, targets) * weight, axis=-1)


def class_weights(text: str, targets: np.ndarray, task: Task) -> tuple[float, ...] | None:
    """What --class_weights means for these training targets [n, num_classes].

    "balanced" for one label: n / (num_classes * count), so that every class weighs the same in
    all (scikit-learn's rule); for many labels: negatives / positives of each class, and 1 for one
    that all records have, where there is nothing to balance.
    """
    num_rows, num_classes = targets.shape
    if text == "none":
        return None
    if text == "balanced":
        counts = targets.sum(axis=0)
        if np.any(counts <= 0):
            missing = np.flatnonzero(counts <= 0).tolist()
            raise OrchardError(
                f"--class_weights=balanced: the training splits hold no record of class {missing}; "
                "give the weights by hand"
            )
        if task == Task.SINGLE_LABEL:
            return tuple(float(w) for w in num_rows / (num_classes * counts))
        # A weight of 0 would leave that class's logit to chance.
        return tuple(float(w) for w in np.where(counts < num_rows, num_rows / counts - 1, 1.0))
    weights = parse_class_weights(text)
    if len(weights) != num_classes:
        raise OrchardError(
            f"--class_weights={text}: there are {num_classes} classes; give one number a class, in "
            "the order of the class names"
        )
    return weights
