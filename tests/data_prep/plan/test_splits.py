import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_prep.plan import splits
from data_prep.plan.splits import Rows
from orchard.formats import Targets


def one_hot(classes, count):
    return np.eye(count, dtype=np.float32)[classes]


def alone(rows):
    return np.arange(rows, dtype=np.int64)


def assign_folds(targets, task, groups, order, folds, seed):
    return splits.assign_folds(Rows(Targets.of_matrix(targets), task, groups, order), folds, seed)


def holdout(targets, task, groups, order, fraction, seed):
    return splits.holdout(Rows(Targets.of_matrix(targets), task, groups, order), fraction, seed)


def test_assign_folds_of_classes_gives_each_fold_its_share():
    classes = np.array([0] * 50 + [1] * 25 + [2] * 10)
    folds = assign_folds(one_hot(classes, 3), "single_label", alone(85), alone(85), 5, 0)
    for fold in range(5):
        np.testing.assert_array_equal(np.bincount(classes[folds == fold]), [10, 5, 2])


def test_assign_folds_of_many_labels_balances_each():
    rng = np.random.default_rng(0)
    targets = (rng.random((400, 4)) < [0.5, 0.3, 0.1, 0.05]).astype(np.float32)
    folds = assign_folds(targets, "multi_label", alone(400), alone(400), 4, 0)
    for label in range(4):
        counts = np.bincount(folds[targets[:, label] == 1], minlength=4)
        assert counts.max() - counts.min() <= 2


def test_assign_folds_of_one_column_of_many_labels_balances_it():
    targets = np.float32([[1], [0], [0], [0]] * 10)
    folds = assign_folds(targets, "multi_label", alone(40), alone(40), 5, 0)
    np.testing.assert_array_equal(np.bincount(folds), [8] * 5)
    np.testing.assert_array_equal(np.bincount(folds[targets[:, 0] == 1]), [2] * 5)


def test_assign_folds_of_soft_labels_balances_the_largest():
    targets = np.tile(np.float32([[0.6, 0.4], [0.2, 0.8]]), (20, 1))
    folds = assign_folds(targets, "single_label", alone(40), alone(40), 4, 0)
    for fold in range(4):
        assert targets[folds == fold].argmax(1).sum() == 5


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_assign_folds_of_groups_keeps_each_in_one_fold(task):
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 60, 200)
    targets = one_hot(rng.integers(0, 3, 200), 3)
    folds = assign_folds(targets, task, groups, alone(200), 5, 0)
    assert set(folds) == set(range(5))
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1


def test_assign_folds_of_single_rows_beside_a_large_group_gives_each_fold_its_share_of_them():
    classes = np.array([0] * 50 + [1] * 25 + [0] * 30)
    groups = np.array([*range(75), *[99] * 30])
    folds = assign_folds(one_hot(classes, 2), "single_label", groups, alone(105), 5, 0)
    for fold in range(5):
        np.testing.assert_array_equal(np.bincount(classes[:75][folds[:75] == fold]), [10, 5])


def test_assign_folds_of_shuffled_rows_follows_the_order_given():
    classes = np.arange(60) % 3
    targets, rows = one_hot(classes, 3), alone(60)
    folds = assign_folds(targets, "single_label", rows, rows, 5, 0)
    shuffled = np.random.default_rng(0).permutation(60)
    # The same rows, written in another order; `order` names them in the old one.
    again = assign_folds(
        targets[shuffled], "single_label", rows[shuffled], np.argsort(shuffled), 5, 0
    )
    np.testing.assert_array_equal(again, folds[shuffled])


def test_assign_folds_with_another_seed_gives_other_folds():
    targets, rows = one_hot(np.arange(60) % 3, 3), alone(60)
    one = assign_folds(targets, "single_label", rows, rows, 5, 0)
    assert (one != assign_folds(targets, "single_label", rows, rows, 5, 1)).any()


def test_assign_folds_of_few_rows_a_class_still_fills_the_folds():
    targets = one_hot(np.arange(6) % 3, 3)
    folds = assign_folds(targets, "single_label", alone(6), alone(6), 3, 0)
    assert sorted(np.bincount(folds)) == [2, 2, 2]


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.25, 0.33, 0.05])
def test_holdout_of_a_fraction_has_it_of_each_class(fraction):
    classes = np.array([0] * 600 + [1] * 400)
    held = holdout(one_hot(classes, 2), "single_label", alone(1000), alone(1000), fraction, 0)
    for label, count in ((0, 600), (1, 400)):
        assert abs(held[classes == label].sum() - fraction * count) <= 0.02 * count


@pytest.mark.parametrize("fraction", [0.001, 0.005, 0.0125, 0.99, 0.998])
def test_holdout_of_small_and_large_fractions_has_them(fraction):
    targets, rows = one_hot(np.arange(8000) % 2, 2), alone(8000)
    held = holdout(targets, "single_label", rows, rows, fraction, 0)
    assert abs(held.sum() - fraction * 8000) <= 0.01 * min(fraction, 1 - fraction) * 8000 + 1
    assert abs(held[::2].sum() - held[1::2].sum()) <= 2


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=2, max_size=60),
    st.integers(2, 5),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["single_label", "multi_label"]),
)
def test_assign_folds_of_any_rows_keeps_groups_together_and_depends_on_nothing_else(
    labels_and_groups, folds, seed, task
):
    labels, groups = (np.array(column) for column in zip(*labels_and_groups, strict=True))
    targets, order = one_hot(labels, 4), alone(len(labels))
    found = assign_folds(targets, task, groups, order, folds, seed)
    assert set(found) <= set(range(folds))
    assert all(len(set(found[groups == group])) == 1 for group in groups)
    again = assign_folds(targets, task, groups + 100, order, folds, seed)
    np.testing.assert_array_equal(found, again)


def _timed(times, groups=None):
    count = len(times)
    targets = Targets.of_matrix(np.ones((count, 1), np.float32))
    groups = alone(count) if groups is None else np.asarray(groups)
    return Rows(targets, "single_label", groups, alone(count), np.asarray(times, float))


def test_holdout_by_time_is_the_latest_share():
    times = np.random.default_rng(0).permutation(50)
    held_out = splits.holdout(_timed(times), 0.2, 0)
    assert sorted(times[held_out]) == list(range(40, 50))


def test_assign_folds_by_time_follow_each_other():
    times = np.random.default_rng(1).permutation(60)
    folds = splits.assign_folds(_timed(times), 4, 7)
    assert [sorted(times[folds == k]) for k in range(4)] == [
        list(range(15 * k, 15 * k + 15)) for k in range(4)
    ]


def test_holdout_by_time_puts_a_group_where_its_latest_row_is():
    groups = [0, 1, 2, 3, 4, 5, 6, 7, 8, 0]
    held_out = splits.holdout(_timed(range(10), groups), 0.2, 0)
    assert np.flatnonzero(held_out).tolist() == [0, 9]


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(2, 5))
def test_assign_folds_by_time_cuts_no_moment_and_never_goes_back(times, folds):
    found = splits.assign_folds(_timed(times), folds, 0)
    by_time = found[np.argsort(times, kind="stable")]
    assert (np.diff(by_time) >= 0).all()
    for moment in set(times):
        assert len(set(found[np.asarray(times) == moment])) == 1


@given(
    st.lists(st.integers(0, 5), min_size=4, max_size=60),
    st.integers(2, 4),
    st.integers(0, 2**32 - 1),
)
def test_assign_folds_of_classes_alone_are_those_of_scikit_learn(classes, folds, seed):
    from sklearn.model_selection import StratifiedKFold

    classes = np.array(classes)
    assume(np.bincount(classes).max() >= folds)
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    expected = np.empty(len(classes), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for fold, (_, rows) in enumerate(splitter.split(classes, classes)):
            expected[rows] = fold
    rows = alone(len(classes))
    found = assign_folds(one_hot(classes, 6), "single_label", rows, rows, folds, seed)
    np.testing.assert_array_equal(found, expected)
