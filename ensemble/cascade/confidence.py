"""How sure probabilities are of their likeliest answer: in NumPy (float64) and in TensorFlow.

An answer is a class in one-label tasks and a set of classes in many-label ones, where classes count
as independent. What is computed is the doubt, 1 - confidence, because float32 has no numbers
between 1 - 6e-8 and 1, where a good network's confidence is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchard.formats import Task, TextEnum
from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

# Smaller doubts count as this one: float32 cannot tell them apart in every task.
LEAST_DOUBT = 1e-6


class Confidence(TextEnum):
    """What is compared with a threshold."""

    MAXIMUM = "maximum"  # The probability of the likeliest answer.
    MARGIN = "margin"  # That, less the probability of the second likeliest.


def doubt(probabilities: np.ndarray, task: Task, confidence: Confidence) -> np.ndarray:
    """1 - confidence of probabilities [rows, classes]: float64 [rows], at least 1e-6."""
    if task == Task.SINGLE_LABEL:
        others = np.array(probabilities, np.float64)
        np.put_along_axis(others, others.argmax(axis=1)[:, np.newaxis], 0.0, axis=1)
        least, second = others.sum(axis=1), others.max(axis=1)
    else:
        against = np.minimum(probabilities, 1.0 - probabilities)
        least = -np.expm1(np.log1p(-against).sum(axis=1))
        # The second likeliest set has the least sure class the other way round.
        nearest = against.max(axis=1, initial=0.0)
        second = (1.0 - least) * nearest / (1.0 - nearest)
    value = least if confidence == Confidence.MAXIMUM else least + second
    return np.maximum(value, LEAST_DOUBT)


def doubt_in_graph(probabilities: tf.Tensor, task: Task, confidence: Confidence) -> tf.Tensor:
    """`doubt` of probabilities float32 [batch, classes]."""
    if task == Task.SINGLE_LABEL:
        likeliest = tf.one_hot(
            tf.argmax(probabilities, axis=1), probabilities.shape[1], dtype=tf.bool,
            on_value=True, off_value=False,
        )  # fmt: skip
        others = tf.where(likeliest, 0.0, probabilities)
        least, second = tf.reduce_sum(others, axis=1), tf.reduce_max(others, axis=1)
    else:
        against = tf.minimum(probabilities, 1.0 - probabilities)
        least = -tf.math.expm1(tf.reduce_sum(tf.math.log1p(-against), axis=1))
        nearest = tf.reduce_max(against, axis=1)
        second = (1.0 - least) * nearest / (1.0 - nearest)
    value = least if confidence == Confidence.MAXIMUM else least + second
    return tf.maximum(value, LEAST_DOUBT)
