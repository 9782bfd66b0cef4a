import numpy as np
import pytest
from hypothesis import given as property_of
from hypothesis import strategies as st

from ensemble.doubts.confident import _expected_errors, doubt


def _simulated(rate, seed=0, rows=600, classes=4):
    """Labels, some of them flipped, and probabilities of networks that know the truth well."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=rows)
    logits = rng.normal(size=(rows, classes)) + 4 * np.eye(classes)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = rng.random(rows) < rate
    labels = np.where(wrong, (truth + rng.integers(1, classes, rows)) % classes, truth)
    return probabilities, labels, truth


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_doubt_finds_most_flipped_labels_at_their_true_count(rate):
    p, labels, truth = _simulated(rate)
    found = doubt(p, np.eye(4, dtype=bool)[labels], "single_label")
    wrong = labels != truth
    first = np.argsort(-found.scores)[: wrong.sum()]
    assert wrong[first].mean() >= 0.85
    assert abs(found.expected - wrong.sum()) <= 0.35 * wrong.sum() + 3
    assert found.flagged[first[: len(first) // 2]].all()
    assert (found.suggested[wrong].argmax(axis=1) == truth[wrong]).mean() > 0.85


def test_doubt_of_sure_networks_that_agree_flags_nothing():
    labels = np.arange(30) % 3
    found = doubt(np.eye(3)[labels] * 0.97 + 0.01, np.eye(3, dtype=bool)[labels], "single_label")
    assert found.expected == 0 and not found.flagged.any()
    np.testing.assert_array_equal(found.suggested, np.eye(3, dtype=bool)[labels])


def test_expected_errors_are_the_scaled_off_diagonal_by_hand():
    # Thresholds 0.65 and 0.75: rows 0 and 1 count as class 0, rows 2 and 4 as class 1.
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.25, 0.75], [0.2, 0.8], [0.3, 0.7]])
    labels = np.array([0, 0, 0, 1, 1])
    # Class 0: mean of .9 .8 .25 is 0.65; class 1: of .8 .7 is 0.75.
    # Confident as 0: rows 0, 1. As 1: rows 2 and 3. Row 4 reaches neither threshold.
    # Of three labeled 0 one in three confident ones is a 1; of the 1s none is a 0.
    assert _expected_errors(p, labels) == 1


def test_doubt_of_many_labels_flips_the_doubtful_cell_alone():
    rng = np.random.default_rng(3)
    truth = rng.random((200, 3)) < 0.4
    p = np.clip(np.where(truth, 0.9, 0.1) + rng.normal(scale=0.03, size=truth.shape), 0.01, 0.99)
    labels = truth.copy()
    labels[7, 1] = not labels[7, 1]
    found = doubt(p, labels, "multi_label")
    assert found.scores.argmax() == 7 and found.flagged[7]
    np.testing.assert_array_equal(found.suggested[7], truth[7])


def test_doubt_of_a_class_without_rows_is_no_error():
    p = np.full((6, 3), 1 / 3)
    found = doubt(p, np.eye(3, dtype=bool)[[0, 0, 0, 1, 1, 1]], "single_label")
    assert np.isfinite(found.scores).all()


@property_of(st.integers(0, 10_000), st.sampled_from(["single_label", "multi_label"]))
def test_doubt_of_any_probabilities_flags_and_suggests_what_is_likelier(seed, task):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), size=20)
    labels = np.eye(3, dtype=bool)[rng.integers(3, size=20)]
    found = doubt(p, labels, task)
    assert (found.scores[found.flagged] > 0).all() and 0 <= found.expected <= 20
    if task == "single_label":
        changed = (found.suggested != labels).any(axis=1)
        assert (changed == (found.scores > 0)).all()
        own, new = p[labels], p[found.suggested]
        assert (new >= own).all()
