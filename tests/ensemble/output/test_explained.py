import dataclasses

import numpy as np
import pytest

from ensemble.explaining import Suspect
from ensemble.output.explained import (
    ERRORS,
    Answers,
    add_neighbors,
    asked_classes,
    chosen_rows,
    explain_groups,
    groups_html,
    peaks_csv,
)
from orchard.formats import Task


class _Corner:
    """Looks into the corner whose number is the class."""

    name, method = "corner", "by definition"

    def see(self, jpeg):
        return np.full((8, 12, 3), len(jpeg), np.uint8)

    def logits(self, images):
        return np.zeros((len(images), 4), np.float32)

    def heat(self, image, classes):
        heat = np.zeros((len(classes), *image.shape[:2]), np.float32)
        for at, column in enumerate(classes):
            if column < 4:  # The others are nowhere.
                heat[at, -1 if column // 2 else 0, -1 if column % 2 else 0] = 1
        return heat


@dataclasses.dataclass
class _Photos:
    ids: list

    def jpegs(self, rows):
        return [b"x" * (row + 1) for row in rows]


def _answers(probabilities, targets, task=Task.SINGLE_LABEL, members=None):
    p = np.array(probabilities, float)
    return Answers(
        [f"image {row}" for row in range(len(p))],
        p,
        p[None] if members is None else np.array(members, float),
        np.array(targets, np.float32),
        [f"<class {at}>" for at in range(p.shape[1])],
        task,
        np.full(p.shape[1], 0.5),
    )


def test_groups_of_one_label_are_errors_by_loss_disputed_and_one_a_class():
    p = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6]]
    targets = [[0, 1, 0], [0, 1, 0], [1, 0, 0], [-1, -1, -1]]
    other = [[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6]]
    answers = _answers(p, targets, members=[p, other])
    found = {title: rows for title, _, rows in chosen_rows(answers, 5)}
    assert found[ERRORS] == [0, 2]  # -log 0.1, -log 0.3.
    assert found["Most disputed"] == [1]
    assert len(found["One of each class"]) == 3 and {2, 3} <= set(found["One of each class"])
    assert asked_classes(answers, 0, True) == [0, 1]
    assert asked_classes(answers, 0, False) == [0]


def test_error_of_many_labels_is_asked_for_the_class_that_is_most_wrong():
    p = [[0.9, 0.2, 0.6], [0.9, 0.1, 0.1]]
    answers = _answers(p, [[1, 1, 0], [1, 0, 0]], Task.MULTI_LABEL)
    assert answers.wrong.tolist() == [True, False]
    assert asked_classes(answers, 0, True) == [1]  # Missed at 0.2; the false alarm is at 0.6.
    groups = explain_groups(answers, _Photos(answers.ids), [_Corner()], 3)
    (error,) = add_neighbors(groups, answers, None, None, 0)[0].images
    assert error.label == "<class 0> <class 1>" and error.predicted == "<class 0> <class 2>"
    assert error.suspicion.suspect == Suspect.NETWORK  # Odds of 0.8 to 0.2 are not 4 to 1 shrunken.
    sure = dataclasses.replace(answers, members=np.array([[[0.9, 0.02, 0.6], [0.9, 0.1, 0.1]]]))
    (error,) = add_neighbors(groups, sure, None, None, 0)[0].images
    assert error.suspicion.suspect == Suspect.LABEL


def test_table_and_page_have_peaks_and_no_markup_of_users():
    p = np.full((5, 5), 0.1) + 0.5 * np.eye(5)
    answers = _answers(p, np.eye(5))
    groups = explain_groups(answers, _Photos(answers.ids), [_Corner()], 3)
    assert [group.title for group in groups] == ["One of each class"]
    lines = peaks_csv(groups).decode().splitlines()
    peaks = {tuple(line.split(",")[5:8]) for line in lines[1:]}
    places = {
        ("0.0417", "0.0625"),
        ("0.9583", "0.0625"),
        ("0.0417", "0.9375"),
        ("0.9583", "0.9375"),
    }
    assert peaks == {("corner", *one) for one in places | {("", "")}}
    page = groups_html(groups, [_Corner()])
    assert "<class" not in page and "&lt;class 1&gt;" in page


@pytest.mark.parametrize("count", [30, 31])
def test_no_more_than_thirty_classes_are_shown(count):
    answers = _answers(np.eye(count), np.eye(count))
    ((_, note, rows),) = chosen_rows(answers, 3)
    assert len(rows) == 30
    assert ("The first 30 of 31 classes." in note) == (count == 31)
