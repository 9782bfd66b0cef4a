import numpy as np
import pytest
import tensorflow as tf

from ensemble.combine import LogLinear
from orchard.formats import Task
from trainer.evaluation import probabilities


def test_log_linear_is_told_from_another_of_the_same_numbers():
    numbers = np.array([0.5, 1.0])
    combiners = {LogLinear(Task.SINGLE_LABEL, numbers), LogLinear(Task.SINGLE_LABEL, numbers)}
    assert len(combiners) == 2  # Of a task alone they would be equal.


@pytest.mark.parametrize("task", Task)
def test_log_linear_is_its_formula_in_numpy_and_in_the_graph(task):
    logits = np.random.default_rng(0).normal(size=(7, 3))
    scales, offsets = np.array([0.5, 1.0, 2.0]), np.array([0.1, -0.2, 0.3])
    logs = np.log(probabilities(logits, task)) if task == Task.SINGLE_LABEL else logits
    in_graph = tf.constant(logits, tf.float32)
    for combiner, expected in (
        (LogLinear(task), logs),
        (LogLinear(task, scales), logs * scales),
        (LogLinear(task, None, offsets), logs + offsets),
        (LogLinear(task, scales, offsets), logs * scales + offsets),
    ):
        np.testing.assert_allclose(combiner.represent(logits), expected)
        np.testing.assert_allclose(combiner.represent_in_graph(in_graph), expected, atol=1e-5)
    found = LogLinear(task).calibrate_in_graph(in_graph, np.array([2.0]))
    np.testing.assert_allclose(found, probabilities(logits / 2, task), atol=1e-6)
