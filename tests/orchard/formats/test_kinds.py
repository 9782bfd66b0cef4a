import json
import pickle

import pytest

from orchard.formats import (
    SplitKind,
    Task,
    fold_name,
    fold_number,
    is_part,
    refit_name,
    refit_number,
    repeat_and_fold,
    repeat_fold_name,
    splits_overlap,
)


def test_is_part_knows_folds_and_refits_alone():
    names = ("fold0", "refit12", "fold", "b7", "refit", "fold0x")
    assert [is_part(name) for name in names] == [True, True, False, False, False, False]


def test_repeat_fold_name_is_read_back():
    for repeat, fold in ((0, 3), (1, 0), (12, 10)):
        assert repeat_and_fold(repeat_fold_name(repeat, fold)) == (repeat, fold)
    assert repeat_fold_name(0, 2) == fold_name(2)
    assert repeat_and_fold("test") is repeat_and_fold("repeat1") is None
    # The first repeat's folds are splits of the dataset; no other name is read as one of them.
    assert fold_number(repeat_fold_name(1, 2)) is None


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("fold0", "fold0", True),
        ("fold0", "fold1", False),
        ("fold0", "repeat1_fold1", True),
        ("repeat1_fold0", "repeat2_fold0", True),
        ("repeat1_fold0", "repeat1_fold1", False),
        ("repeat1_fold0", "holdout", False),
        ("train", "eval", False),
    ],
)
def test_splits_overlap_where_they_are_one_or_folds_of_two_repeats(one, other, overlap):
    assert splits_overlap(one, other) is splits_overlap(other, one) is overlap


def test_text_enum_member_is_its_text():
    assert Task.MULTI_LABEL == "multi_label" == Task("multi_label")
    assert f"{SplitKind.TEST:>6}" == "  test"
    assert repr(SplitKind.TEST) == "'test'"
    assert json.dumps({SplitKind.TEST: Task.MULTI_LABEL}) == '{"test": "multi_label"}'
    assert pickle.loads(pickle.dumps(Task.MULTI_LABEL)) is Task.MULTI_LABEL
    assert {Task.MULTI_LABEL: 1}["multi_label"] == 1


@pytest.mark.parametrize("number", [0, 7, 12])
def test_fold_number_of_fold_name_is_the_number(number):
    assert fold_number(fold_name(number)) == number
    assert refit_number(refit_name(number)) == number


@pytest.mark.parametrize("name", ["train", "fold", "fold1+fold2", "xfold1", "fold-1", "folds"])
def test_fold_number_of_another_name_is_none(name):
    assert fold_number(name) is None
    assert refit_number(name) is None
