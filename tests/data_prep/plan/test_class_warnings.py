import numpy as np

from data_prep.checks import CheckedTable
from data_prep.labels.csv_table import parse_csv
from data_prep.labels.table import LabelOptions, labels_of_csv
from data_prep.plan import warn_of_classes


def warnings_of(labels, folds=0, **options):
    text = "id,label\n" + "".join(f"a{n},{label}\n" for n, label in enumerate(labels))
    table = labels_of_csv(parse_csv(text.encode(), "train.csv"), LabelOptions(**options))
    new = np.full(len(table.ids), -1)
    checked = CheckedTable(table, "images", table.ids, np.zeros(0), table.problems, new)
    return list(warn_of_classes(checked, folds))


def test_warn_of_classes_of_enough_rows_and_clear_names_is_silent():
    assert warnings_of(["cat", "dog"] * 5, folds=5) == []


def test_warn_of_classes_whose_names_are_alike_names_them():
    lines = warnings_of(["Food", "food", "fo-od", "Pasta_dish", "pasta dish", "cat"] * 5)
    assert lines == [
        "warning: classes whose names differ in case, spaces or dashes only: 'Food' and 'fo-od' "
        "and 'food', 'Pasta_dish' and 'pasta dish'; correct the labels if they are one class"
    ]


def test_warn_of_classes_with_fewer_rows_than_folds_names_them():
    labels = ["cat"] * 9 + ["dog"] * 7 + ["eel"]
    assert warnings_of(labels, folds=8) == [
        "warning: classes with fewer rows than --folds=8: 'dog' (7), 'eel' (1)"
    ]
    assert warnings_of(labels) == ["warning: classes with fewer than 5 rows: 'eel' (1)"]


def test_warn_of_classes_without_a_row_names_them():
    assert warnings_of(["cat"] * 9, class_names=("ape", "cat")) == [
        "warning: classes without any usable row: 'ape'"
    ]


def test_warn_of_classes_names_the_first_and_counts_the_others():
    (line,) = warnings_of([f"c{n}" for n in range(8)])
    assert line.endswith("'c3' (1), 'c4' (1) and 3 more")
