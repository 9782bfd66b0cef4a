"""Logits to probabilities and back: each function in NumPy (float64) and in TensorFlow (float32).

One-label tasks have a softmax over the classes, many-label tasks a sigmoid for each class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orchard.formats import Task
from orchard.lazy import lazy_import
from trainer.evaluation import probabilities as activate

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

__all__ = [
    "activate",
    "activate_in_graph",
    "log_odds",
    "log_odds_in_graph",
    "rescale",
    "to_logits",
    "to_logits_in_graph",
]

# Logarithms stay finite from here on: the smallest number, and how close to 1 another one comes.
SMALLEST = np.finfo(np.float64).tiny
_CLOSEST_TO_ONE = np.finfo(np.float64).eps / 2
_SMALLEST_FLOAT32 = float(np.finfo(np.float32).tiny)
_CLOSEST_TO_ONE_FLOAT32 = float(np.finfo(np.float32).eps) / 2


def activate_in_graph(logits: tf.Tensor, task: Task) -> tf.Tensor:
    """`activate` of logits [batch, classes]."""
    return tf.nn.softmax(logits) if task == Task.SINGLE_LABEL else tf.math.sigmoid(logits)


def to_logits(probabilities: np.ndarray, task: Task) -> np.ndarray:
    """Probabilities -> logits float64 whose softmax (or sigmoid) gives them back."""
    logs = np.log(np.maximum(probabilities, SMALLEST))
    if task == Task.SINGLE_LABEL:
        return logs
    return logs - np.log(np.maximum(1.0 - probabilities, _CLOSEST_TO_ONE))


def to_logits_in_graph(probabilities: tf.Tensor, task: Task) -> tf.Tensor:
    """`to_logits` of probabilities [batch, classes]."""
    logs = tf.math.log(tf.maximum(probabilities, _SMALLEST_FLOAT32))
    if task == Task.SINGLE_LABEL:
        return logs
    return logs - tf.math.log(tf.maximum(1.0 - probabilities, _CLOSEST_TO_ONE_FLOAT32))


def rescale(probabilities: np.ndarray, temperature: np.ndarray, task: Task) -> np.ndarray:
    """Divide the logits of probabilities [rows, classes] by temperature [1] or [classes]."""
    if np.all(temperature == 1.0):
        return probabilities
    return activate(to_logits(probabilities, task) / temperature, task)


def log_odds(logits: np.ndarray, task: Task) -> np.ndarray:
    """Logits [rows, classes] -> log(p / (1 - p)) of each class, exact where p is near 0 or 1."""
    if task == Task.MULTI_LABEL:
        return logits
    above = logits - logits.max(axis=1, keepdims=True)
    likeliest = above.argmax(axis=1)[:, np.newaxis]
    exponentials = np.exp(above)
    # Subtracting from the total is exact enough but for the class that makes up nearly all of it.
    others = exponentials.sum(axis=1, keepdims=True) - exponentials
    np.put_along_axis(exponentials, likeliest, 0.0, axis=1)
    np.put_along_axis(others, likeliest, exponentials.sum(axis=1, keepdims=True), axis=1)
    return above - np.log(np.maximum(others, SMALLEST))


def log_odds_in_graph(logits: tf.Tensor, task: Task) -> tf.Tensor:
    """`log_odds` of logits [batch, classes]."""
    if task == Task.MULTI_LABEL:
        return logits
    above = logits - tf.reduce_max(logits, axis=1, keepdims=True)
    likeliest = tf.one_hot(
        tf.argmax(above, axis=1), logits.shape[1], dtype=tf.bool, on_value=True, off_value=False
    )
    exponentials = tf.exp(above)
    total = tf.reduce_sum(exponentials, axis=1, keepdims=True)
    rest = tf.reduce_sum(tf.where(likeliest, 0.0, exponentials), axis=1, keepdims=True)
    others = tf.where(likeliest, rest, total - exponentials)
    return above - tf.math.log(tf.maximum(others, _SMALLEST_FLOAT32))
