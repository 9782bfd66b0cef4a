import numpy as np
import pandas as pd
import pytest

from orchard.errors import OrchardError
from orchard.formats import Targets, Task
from orchard.formats.targets import MAX_DENSE_CLASSES

_MANY = MAX_DENSE_CLASSES + 1


def one_hot(*classes, num_classes=_MANY):
    """The vectors of some classes, -1: unlabeled."""
    matrix = np.eye(num_classes, dtype=np.float32)[list(classes)]
    matrix[np.array(classes) < 0] = -1
    return matrix


def test_targets_of_many_hard_classes_are_the_classes_alone():
    targets = Targets.of_matrix(one_hot(3, -1, _MANY - 1)).compacted(Task.SINGLE_LABEL)
    assert targets.are_classes and targets.values.tolist() == [3, -1, _MANY - 1]
    np.testing.assert_array_equal(targets.matrix, one_hot(3, -1, _MANY - 1))


@pytest.mark.parametrize(
    ("matrix", "task"),
    [
        (one_hot(0, 1, num_classes=MAX_DENSE_CLASSES), Task.SINGLE_LABEL),
        (one_hot(0, 1), Task.MULTI_LABEL),
        (one_hot(0, 1) * np.float32(0.5) + one_hot(2, 3) * np.float32(0.5), Task.SINGLE_LABEL),
        (one_hot(0, 1) * np.float32(0.99), Task.SINGLE_LABEL),
    ],
    ids=["few classes", "many labels", "soft", "nearly hard"],
)
def test_targets_that_say_more_than_a_class_or_are_short_stay_vectors(matrix, task):
    targets = Targets.of_matrix(matrix).compacted(task)
    assert not targets.are_classes and targets.matrix is matrix


def test_targets_compacted_of_used_rows_forgets_the_others():
    matrix = one_hot(1, 2)
    matrix[1, 7] = 0.25  # A bad row.
    targets = Targets.of_matrix(matrix).compacted(Task.SINGLE_LABEL, np.array([True, False]))
    assert targets.values.tolist() == [1, -1]


def test_targets_in_both_forms_say_the_same():
    matrix = one_hot(4, 0, 4)
    dense = Targets.of_matrix(matrix)
    alone = dense.compacted(Task.SINGLE_LABEL)
    for one in (dense, alone):
        assert len(one) == 3 and one.largest.tolist() == [4, 0, 4]
        assert one.counts[:5].tolist() == [1, 0, 0, 0, 2] and one.counts.shape == (_MANY,)
        assert one.sums[4] == 2.0 and one.sums.dtype == np.float64
        np.testing.assert_array_equal(one.present(3), [[0, 0, 0], [1, 0, 0], [0, 0, 0]])
        assert one.classes_of(1) == [0]
        assert one.key_of(0) == one.key_of(2) != one.key_of(1)
        assert one[np.array([1, 0])].largest.tolist() == [0, 4]
        fewer = one.without(np.array([False, True, False]))
        assert fewer.unlabeled.tolist() == [False, True, False]
        assert fewer.key_of(1) == b"" and fewer.classes_of(1) == []
        assert Targets.concatenate([one, one]).largest.tolist() == [4, 0, 4] * 2


def test_targets_of_an_index_are_its_column():
    vectors = pd.DataFrame({"target": [np.float32([0, 1]), np.float32([-1, -1])]})
    np.testing.assert_array_equal(Targets.of_index(vectors, 2).matrix, [[0, 1], [-1, -1]])
    alone = Targets.of_index(pd.DataFrame({"label": np.int32([1, -1])}), 2)
    assert alone.are_classes
    np.testing.assert_array_equal(alone.matrix, [[0, 1], [-1, -1]])


@pytest.mark.parametrize("label", [-2, 2])
def test_targets_of_an_index_with_an_unknown_class_are_refused(label):
    with pytest.raises(OrchardError, match=f"{label} is none of 2 classes"):
        Targets.of_index(pd.DataFrame({"label": np.int32([0, label])}), 2)


def test_targets_without_labels_take_the_other_rows_form():
    rows = Targets.unlabeled_rows(2, 3)
    np.testing.assert_array_equal(rows.in_form(False).matrix, np.full((2, 3), -1, np.float32))
    assert rows.in_form(False).in_form(True).are_classes
    with pytest.raises(ValueError, match="compact them"):
        Targets.of_matrix(one_hot(1)).in_form(True)
