import numpy as np
import pytest
import tensorflow as tf

from ensemble.cascade import Cascade, Confidence, Stage
from ensemble.cascade.confidence import doubt
from ensemble.combine import COMBINERS, Combination, rescale
from orchard.formats import Task
from tests.ensemble.cascade.networks import some_networks


class _Batch:
    """Members that know their logits, and say how many images they were asked about."""

    def __init__(self, logits, asked):
        self._logits, self._asked = logits, asked

    def logits(self, members):
        self._asked += [tf.shape(self._logits)[1]] * len(members)
        return {member: self._logits[member] for member in members}

    def take(self, rows):
        return _Batch(tf.gather(self._logits, rows, axis=1), self._asked)


def _cascade(combine, task, classes=3):
    combiner = COMBINERS[combine](task)
    width = 1 if task == Task.SINGLE_LABEL else classes
    generator = np.random.default_rng(5)
    weights = np.array([0.2, 0.3, 0.1, 0.4])
    combination = Combination(
        (combiner,) * 4, weights, generator.uniform(0.7, 1.5, (4, width)), np.full(width, 1.3)
    )

    def stage(members, max_doubt):
        own, sure = generator.uniform(0.7, 1.5, (2, width))
        return Stage(members, own, sure, max_doubt)

    first, second = (0.003, 0.01) if task == Task.SINGLE_LABEL else (0.05, 0.1)
    stages = (stage((2,), first), stage((0, 3), second), stage((1,), float("inf")))
    return Cascade(combination, stages, Confidence.MAXIMUM)


def _by_hand(cascade, logits):
    """Image by image, with the weights of the members so far scaled to sum 1."""
    combination, task = cascade.combination, cascade.combiner.task
    rows, left = [], []
    for row in range(logits.shape[1]):
        seen = []
        for number, stage in enumerate(cascade.stages):
            seen += stage.members
            parts = [
                combination.weights[m]
                * cascade.combiner.represent(
                    logits[m, row : row + 1] / combination.member_temperatures[m]
                )
                for m in seen
            ]
            mean = cascade.combiner.finish(sum(parts) / combination.weights[seen].sum())
            sure = rescale(mean, stage.confidence_temperature, task)
            if doubt(sure, task, cascade.confidence)[0] <= stage.max_doubt:
                rows.append(rescale(mean, stage.temperature, task)[0])
                left.append(number)
                break
    return np.array(rows), np.array(left)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("combine", ["logits", "probabilities", "geometric"])
def test_cascade_is_what_image_by_image_gives(combine, task):
    logits, _ = some_networks(4, 50, task=task)
    cascade = _cascade(combine, task)
    probabilities, left = cascade.staged(logits)
    expected, stages = _by_hand(cascade, logits)
    np.testing.assert_array_equal(left, stages)
    assert len(set(left)) == 3
    np.testing.assert_allclose(probabilities, expected, atol=1e-12)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("combine", ["logits", "probabilities", "geometric"])
def test_cascade_in_graph_is_that_of_numpy_and_asks_later_members_about_few(combine, task):
    logits, _ = some_networks(4, 50, task=task)
    cascade = _cascade(combine, task)
    expected, left = cascade.staged(logits)
    asked: list = []
    found = cascade.predict_in_graph(_Batch(tf.constant(logits, tf.float32), asked))
    # Geometric means of many labels come to logits through 1 - p.
    np.testing.assert_allclose(found, expected, atol=3e-5)
    assert [int(one) for one in asked] == [
        50,
        *[int((left > 0).sum())] * 2,
        int((left > 1).sum()),
    ]


def test_cascade_in_static_graph_is_the_same_and_xla_compiles_it():
    logits, _ = some_networks(4, 50)
    cascade = _cascade("logits", Task.SINGLE_LABEL)

    @tf.function(jit_compile=True)
    def static(logits):
        return cascade.predict_in_static_graph(_Batch(logits, []))

    found = static(tf.constant(logits, tf.float32))
    np.testing.assert_allclose(found, cascade(logits), atol=1e-5)


def test_cascade_where_all_leave_at_once_asks_nobody_else():
    logits, _ = some_networks(4, 20)
    cascade = _cascade("logits", Task.SINGLE_LABEL)
    first = cascade.stages[0]
    sure = Stage(first.members, first.temperature, first.confidence_temperature, 1.0)
    asked: list = []
    whole = Cascade(cascade.combination, (sure, *cascade.stages[1:]), cascade.confidence)
    # Eagerly, a branch that is not taken is not run.
    whole.predict_in_graph(_Batch(tf.constant(logits, tf.float32), asked))
    assert len(asked) == 1
