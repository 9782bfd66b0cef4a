import numpy as np
from sklearn import metrics as sk

from orchard.formats import Task
from tests.trainer.evaluation.samples import multi, single
from trainer.evaluation.classes import best_thresholds, f1_per_class, per_class_table


def test_best_thresholds_many_labels_raise_f1_over_one_half():
    logits, targets = multi()
    thresholds = best_thresholds(logits, targets, Task.MULTI_LABEL)
    at_half = f1_per_class(logits, targets, Task.MULTI_LABEL)
    at_best = f1_per_class(logits, targets, Task.MULTI_LABEL, thresholds)
    assert np.all(at_best >= at_half) and np.any(at_best > at_half)


def test_per_class_table_one_label_has_a_row_for_each_class():
    logits, targets, labels = single()
    table = per_class_table(logits, targets, Task.SINGLE_LABEL, tuple("abcd"))
    assert [row["class"] for row in table] == list("abcd")
    assert [row["count"] for row in table] == list(np.bincount(labels))
    recall = sk.recall_score(labels, logits.argmax(axis=1), average=None)
    np.testing.assert_allclose([row["recall"] for row in table], recall)
