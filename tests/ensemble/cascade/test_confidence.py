import itertools

import numpy as np
import pytest
import tensorflow as tf

from ensemble.cascade import Confidence, doubt, doubt_in_graph
from ensemble.cascade.confidence import LEAST_DOUBT
from orchard.formats import Task


def _answers(row, task):
    """The probability of every answer, the likeliest first."""
    if task == Task.SINGLE_LABEL:
        return sorted(row, reverse=True)
    products = [
        np.prod([p if present else 1 - p for p, present in zip(row, answer, strict=True)])
        for answer in itertools.product((False, True), repeat=len(row))
    ]
    return sorted(products, reverse=True)


def _probabilities(task, rows=40):
    generator = np.random.default_rng(0)
    if task == Task.SINGLE_LABEL:
        return generator.dirichlet(np.ones(4) * 0.3, rows)
    return generator.random((rows, 4))


@pytest.mark.parametrize("task", list(Task))
def test_doubt_is_that_of_all_answers_counted_out(task):
    probabilities = _probabilities(task)
    first, second = np.array([_answers(row, task)[:2] for row in probabilities]).T
    np.testing.assert_allclose(
        doubt(probabilities, task, Confidence.MAXIMUM), np.maximum(1 - first, 1e-6), atol=1e-12
    )
    np.testing.assert_allclose(
        doubt(probabilities, task, Confidence.MARGIN),
        np.maximum(1 - (first - second), 1e-6),
        atol=1e-12,
    )


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("confidence", list(Confidence))
def test_doubt_in_graph_is_that_of_numpy(task, confidence):
    probabilities = _probabilities(task)
    found = doubt_in_graph(tf.constant(probabilities, tf.float32), task, confidence)
    np.testing.assert_allclose(found, doubt(probabilities, task, confidence), rtol=2e-5, atol=1e-6)


def test_doubt_of_certain_rows_is_the_least_in_both():
    rows = np.array([[1 - 1e-9, 1e-9], [1.0, 0.0]])
    assert (doubt(rows, Task.SINGLE_LABEL, Confidence.MAXIMUM) == LEAST_DOUBT).all()
    found = doubt_in_graph(tf.constant(rows, tf.float32), Task.SINGLE_LABEL, Confidence.MAXIMUM)
    assert (found.numpy() == np.float32(LEAST_DOUBT)).all()
