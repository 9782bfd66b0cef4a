import numpy as np
import pytest

from ensemble.combine.rank import RankMean, quantiles, quantiles_in_graph, rank_reference
from trainer.evaluation import probabilities as activate


def _logits(rows, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 4)) * 3


def test_rank_of_the_rows_it_was_fitted_to_is_their_rank():
    logits = _logits(101)
    result = RankMean("single_label").fitted_to(logits).represent(logits)
    p = activate(logits, "single_label")
    np.testing.assert_allclose(result, p.argsort(axis=0).argsort(axis=0) / 100, atol=1e-9)


def test_rank_without_a_fit_is_among_the_given_rows():
    logits = _logits(30)
    combiner = RankMean("single_label")
    expected = combiner.fitted_to(logits).represent(logits)
    np.testing.assert_array_equal(combiner.represent(logits), expected)


def test_rank_of_a_new_image_is_the_same_alone_and_in_company():
    combiner, new = RankMean("single_label").fitted_to(_logits(50)), _logits(9, seed=5)
    together = combiner.represent(new)
    for row in range(9):
        np.testing.assert_allclose(combiner.represent(new[row : row + 1])[0], together[row])


def test_rank_in_graph_without_a_fit_is_refused():
    import tensorflow as tf

    with pytest.raises(ValueError, match="call fitted_to first"):
        RankMean("multi_label").represent_in_graph(tf.zeros([1, 2]))


def test_quantiles_of_equal_values_share_their_mean_rank():
    odds = np.array([[0.1], [0.5], [0.5], [0.9]])
    np.testing.assert_allclose(quantiles(odds, rank_reference(odds))[:, 0], [0.0, 0.5, 0.5, 1.0])


def test_rank_reference_of_many_rows_keeps_their_order():
    odds = np.random.default_rng(0).beta(0.1, 0.3, size=(5000, 2))
    reference = rank_reference(odds)
    assert reference.values.shape == (257, 2)
    ranks = quantiles(odds, reference)
    for column in range(2):
        order = np.argsort(odds[:, column])
        assert (np.diff(ranks[order, column]) >= 0).all()
        np.testing.assert_allclose(ranks[order, column], np.linspace(0, 1, 5000), atol=0.005)


def test_rank_reference_of_few_rows_has_their_values():
    reference = rank_reference(np.array([[3.0], [1.0]]))
    assert reference.values.ravel().tolist() == [1, 3] and reference.levels.tolist() == [[0], [1]]
    alone = rank_reference(np.array([[2.0]]))
    assert alone.values.ravel().tolist() == [2, 2] and alone.levels.tolist() == [[0.5], [0.5]]


def test_quantiles_in_graph_are_those_of_numpy_within_and_beyond_the_reference():
    import tensorflow as tf

    reference = rank_reference(np.array([[0.1, 5.0], [0.5, 6.0], [0.5, 9.0], [0.9, 9.5]]))
    odds = np.array([[-3, 4], [0.1, 5.5], [0.3, 9.2], [0.5, 6], [0.8, 9.4], [0.9, 9.5], [7, 99]])
    found = quantiles_in_graph(tf.constant(odds, tf.float32), reference)
    np.testing.assert_allclose(found, quantiles(odds, reference), atol=1e-6)
