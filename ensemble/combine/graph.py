"""`methods` in TensorFlow ops, for the exported model: the same formulas in float32."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ensemble.combine.methods import Combination
from orchard.formats import Task

# As in combine.py, at float32's limits.
_SMALLEST = float(np.finfo(np.float32).tiny)
_CLOSEST_TO_ONE = float(np.finfo(np.float32).eps) / 2


def combined_in_graph(logits: Sequence[tf.Tensor], combination: Combination) -> tf.Tensor:
    """Members' logits float32 [batch, classes] -> the ensemble's probabilities [batch, classes]."""
    method, task = combination.method, combination.task
    means = []
    for member, member_logits in enumerate(logits):
        weight = float(combination.weights[member])
        if weight == 0.0:
            continue
        scaled = member_logits / _constant(combination.member_temperatures[member])
        means.append(weight * _represent(scaled, combination, member))
    mean = tf.add_n(means)
    if method == "rank":
        return mean
    if method == "logits":
        return _activate(mean / _constant(combination.temperature), task)
    if method == "geometric" and task == Task.SINGLE_LABEL:
        return _activate(mean / _constant(combination.temperature), task)
    probabilities = tf.exp(mean) if method == "geometric" else mean
    if np.all(combination.temperature == 1.0):
        return probabilities
    return _activate(_to_logits(probabilities, task) / _constant(combination.temperature), task)


def _represent(scaled: tf.Tensor, combination: Combination, member: int) -> tf.Tensor:
    method, task = combination.method, combination.task
    if method == "logits":
        return scaled
    if method == "geometric":
        return (
            tf.nn.log_softmax(scaled) if task == Task.SINGLE_LABEL else tf.math.log_sigmoid(scaled)
        )
    if method == "probabilities":
        return _activate(scaled, task)
    reference = combination.reference
    odds = _log_odds(scaled, task)
    return _quantiles(odds, reference.values[member], reference.levels[member])


def _log_odds(logits: tf.Tensor, task: Task) -> tf.Tensor:
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
    return above - tf.math.log(tf.maximum(others, _SMALLEST))


def _quantiles(odds: tf.Tensor, values: np.ndarray, levels: np.ndarray) -> tf.Tensor:
    knots, heights = _constant(values.T), _constant(levels.T)  # [classes, knots]
    columns = tf.transpose(odds)  # [classes, batch]
    upper = tf.searchsorted(knots, columns, side="right")
    upper = tf.clip_by_value(upper, 1, values.shape[0] - 1)
    low, high = (tf.gather(knots, at, batch_dims=1) for at in (upper - 1, upper))
    start, end = (tf.gather(heights, at, batch_dims=1) for at in (upper - 1, upper))
    # Equal knots share one level, so the share along them doesn't matter.
    share = tf.clip_by_value(tf.math.divide_no_nan(columns - low, high - low), 0.0, 1.0)
    return tf.transpose(start + share * (end - start))


def _activate(logits: tf.Tensor, task: Task) -> tf.Tensor:
    return tf.nn.softmax(logits) if task == Task.SINGLE_LABEL else tf.math.sigmoid(logits)


def _to_logits(probabilities: tf.Tensor, task: Task) -> tf.Tensor:
    logs = tf.math.log(tf.maximum(probabilities, _SMALLEST))
    if task == Task.SINGLE_LABEL:
        return logs
    return logs - tf.math.log(tf.maximum(1.0 - probabilities, _CLOSEST_TO_ONE))


def _constant(values: np.ndarray) -> tf.Tensor:
    return tf.constant(values, tf.float32)
