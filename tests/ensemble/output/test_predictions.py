import csv

import numpy as np
import pandas as pd
import pytest

from data_prep.labels.table import LabelOptions, read_labels
from ensemble.output.predictions import (
    class_labels,
    named_classes,
    write_predictions,
    write_soft_labels,
)
from ensemble.submission import read_submission
from orchard.errors import OrchardError

NAMES = ("healthy", "rust", "scab")
IDS = [f"leaf_{i}" for i in range(4)]
P = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.45, 0.55], [0.1, 0.2, 0.3]])
HALF = np.full(3, 0.5)


def _write(tmp_path, **overrides):
    values = {"thresholds": HALF, "submission": None, **overrides}
    task = values.pop("task", "single_label")
    path = tmp_path / "predictions.csv"
    write_predictions(str(path), IDS, P, NAMES, task, **values)
    return list(csv.reader(path.open()))


def _submission(tmp_path, text):
    path = tmp_path / "sample.csv"
    path.write_text(text)
    return read_submission(str(path), NAMES, "single_label")


def test_write_predictions_with_sets_names_them_beside_the_class(tmp_path):
    sets = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0]], bool)
    rows = _write(tmp_path, sets=sets)
    assert rows[0] == ["image_id", "class", "prediction_set", *NAMES]
    assert [row[2] for row in rows[1:]] == ["healthy", "rust scab", "healthy rust scab", ""]


def test_write_predictions_with_sets_keeps_a_submissions_columns(tmp_path):
    sample = _submission(tmp_path, "id,healthy,rust,scab\nleaf_1,0,0,0\n")
    rows = _write(tmp_path, sets=np.ones((4, 3), bool), submission=sample)
    assert rows == [["id", *NAMES], ["leaf_1", "0.1", "0.6", "0.3"]]


def test_write_predictions_without_a_submission_gives_class_and_probabilities(tmp_path):
    rows = _write(tmp_path)
    assert rows[0] == ["image_id", "class", *NAMES]
    assert [row[1] for row in rows[1:]] == ["healthy", "rust", "scab", "scab"]
    np.testing.assert_allclose(np.array([row[2:] for row in rows[1:]], float), P, rtol=1e-7)


def test_write_predictions_keeps_all_digits_of_float32(tmp_path):
    p = np.array([[1e-9, 0.123456789, 0.876543210]], np.float32)
    path = tmp_path / "p.csv"
    write_predictions(str(path), ["x"], p, NAMES, "single_label", thresholds=HALF)
    back = pd.read_csv(path)[list(NAMES)].to_numpy(np.float32)
    assert np.array_equal(back, p)


def test_write_predictions_with_a_submission_follows_its_columns_and_order(tmp_path):
    sample = _submission(tmp_path, "image_id,scab,healthy,rust\nleaf_3,0,0,0\nleaf_0,0,0,0\n")
    rows = _write(tmp_path, submission=sample)
    assert rows[0] == ["image_id", "scab", "healthy", "rust"]
    assert [row[0] for row in rows[1:]] == ["leaf_3", "leaf_0"]
    np.testing.assert_allclose(np.array(rows[2][1:], float), [0.1, 0.7, 0.2], rtol=1e-6)


def test_write_predictions_with_a_submission_of_labels_names_classes_over_thresholds(tmp_path):
    text = "image,labels\n" + "".join(f"leaf_{i}.jpg,healthy\n" for i in range(4))
    sample = _submission(tmp_path, text)
    rows = _write(
        tmp_path, submission=sample, task="multi_label", thresholds=np.array([0.5, 0.4, 0.5])
    )
    assert rows[0] == ["image", "labels"]
    assert rows[1:] == [
        ["leaf_0.jpg", "healthy"],
        ["leaf_1.jpg", "rust"],
        ["leaf_2.jpg", "rust scab"],
        ["leaf_3.jpg", "scab"],
    ]


def test_named_classes_without_one_at_its_threshold_names_the_nearest():
    thresholds = np.array([0.9, 0.4, 0.9])
    assert class_labels(named_classes(P[3:], "multi_label", thresholds), NAMES) == ["rust"]
    assert class_labels(named_classes(P[2:3], "single_label", thresholds), NAMES) == ["scab"]


def test_write_predictions_of_a_class_named_class_gives_it_a_column(tmp_path):
    path = tmp_path / "p.csv"
    names = ("class", "other")
    write_predictions(
        str(path), ["x"], np.array([[0.25, 0.75]]), names, "single_label", thresholds=HALF[:2]
    )
    assert list(csv.reader(path.open())) == [
        ["image_id", "class", "class", "other"],
        ["x", "other", "0.25", "0.75"],
    ]


def test_write_predictions_for_an_unknown_image_writes_nothing(tmp_path):
    sample = _submission(tmp_path, "id,labels\nleaf_0,x\nleaf_9,x\n")
    with pytest.raises(OrchardError, match="'leaf_9', which is not among the 4"):
        _write(tmp_path, submission=sample)
    assert not (tmp_path / "predictions.csv").exists()


def test_write_soft_labels_is_read_by_preparation(tmp_path):
    path = tmp_path / "soft.csv"
    p = P / P.sum(axis=1, keepdims=True)
    write_soft_labels(str(path), IDS, p, NAMES)
    table = read_labels(str(path), LabelOptions(class_names=NAMES))
    assert table.problems == ()
    assert table.task == "single_label"
    assert table.ids == tuple(IDS)
    np.testing.assert_allclose(table.targets.matrix, p, atol=1e-6)


def test_write_soft_labels_is_read_by_distillation(tmp_path):
    from trainer.data import soft_labels

    path = tmp_path / "soft.csv"
    write_soft_labels(str(path), IDS, P, NAMES)
    values = soft_labels.read(
        str(path), np.array(["leaf_2", "leaf_0"]), ("scab", "rust", "healthy")
    )
    np.testing.assert_allclose(values, P[[2, 0]][:, ::-1], atol=1e-6)
