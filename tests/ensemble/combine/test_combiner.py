import numpy as np
import pytest
import tensorflow as tf

from ensemble.combine import COMBINERS, Combiner
from orchard.formats import Task

_FORMULA = ("represent", "finish", "represent_in_graph", "finish_in_graph")


@pytest.mark.parametrize("missing", _FORMULA)
def test_combiner_without_a_part_of_its_formula_cannot_be_made(missing):
    parts = {name: lambda self, values: values for name in _FORMULA if name != missing}
    with pytest.raises(TypeError, match=missing):
        type("Half", (Combiner,), parts)(Task.SINGLE_LABEL)


@pytest.mark.parametrize("degrees", [0.5, 1.0, 2.0])
def test_calibrate_in_graph_divides_the_logits_of_a_mean_of_probabilities(degrees):
    mean = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    combiner = COMBINERS["probabilities"](Task.SINGLE_LABEL)
    found = combiner.calibrate_in_graph(tf.constant(mean, tf.float32), np.array([degrees]))
    expected = mean ** (1 / degrees)
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-6)
