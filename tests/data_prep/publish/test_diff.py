import numpy as np
import pytest

from data_prep.config import default_settings
from data_prep.publish.diff import Snapshot, differences


def snapshot(class_names, labels, settings=None):
    """A run of one image a label; label -1: unlabelled."""
    targets = np.full((len(labels), len(class_names)), -1, np.float32)
    for target, label in zip(targets, labels, strict=True):
        if label != -1:
            target[:] = [name == label for name in class_names]
    return Snapshot(
        settings=default_settings() if settings is None else settings,
        versions={},
        class_names=tuple(class_names),
        ids=np.array([f"i{at}" for at in range(len(labels))]),
        sha256=np.full(len(labels), "0" * 64, "S64"),
        targets=targets,
        mtime_ns=None,
    )


BEFORE = snapshot("abc", ["a", "b", "c", -1])


@pytest.mark.parametrize(
    ("now", "phrases"),
    [
        (snapshot("abc", ["a", "b", "c", -1]), []),
        (snapshot("cba", ["a", "b", "c", -1]), ["the classes are in another order"]),
        (snapshot("abcd", ["a", "b", "c", -1]), ["1 class was added (first 'd')"]),
        (
            snapshot("a", ["a", "a", "a", -1]),
            [
                "2 classes were removed (first 'b')",
                "2 rows have other labels (first 'i1')",
            ],
        ),
        (snapshot("abc", ["a", "b", "a", -1]), ["1 row has other labels (first 'i2')"]),
    ],
)
def test_classes_are_compared_by_name_and_labels_by_class(now, phrases):
    assert differences(BEFORE, now) == phrases


def test_a_setting_that_there_was_not_yet_had_its_default():
    settings = default_settings()
    del settings["square_px"]
    before = snapshot("a", ["a"], settings)
    assert differences(before, snapshot("a", ["a"])) == []
    now = snapshot("a", ["a"], default_settings() | {"square_px": 8})
    assert differences(before, now) == ["--square was 0, now 8"]
