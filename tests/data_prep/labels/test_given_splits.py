import numpy as np
import pytest

from data_prep.labels.csv_table import parse_csv
from data_prep.labels.given_splits import read_splits
from data_prep.labels.table import LabelOptions, labels_of_csv


def splits_of(column, cells):
    text = f"id,{column}\n" + "".join(f"a{n},{cell}\n" for n, cell in enumerate(cells))
    table = parse_csv(text.encode(), "train.csv")
    return read_splits(table, column, table.column("id"))


@pytest.mark.parametrize(
    "column, cells, splits",
    [
        ("split", ["train", "Val", "TEST"], ("train", "eval", "test")),
        ("split", ["training", "validation", "dev"], ("train", "eval", "eval")),
        ("fold", ["0", "10", "2.0"], ("fold0", "fold10", "fold2")),
        ("kfold", ["fold0", "fold_1", "1"], ("fold0", "fold1", "fold1")),
        ("is_valid", ["True", "False", "False"], ("eval", "train", "train")),
        ("is_train", ["1", "0", "1"], ("train", "eval", "train")),
        ("is_test", ["1", "0", "0"], ("test", "train", "train")),
        ("fold", ["0", "1", "1"], ("fold0", "fold1", "fold1")),
        ("is_valid", ["train", "eval", "train"], ("train", "eval", "train")),
    ],
)
def test_read_splits_of_usual_values_names_the_splits(column, cells, splits):
    given = splits_of(column, cells)
    assert (given.splits, given.problems) == (splits, [])


@pytest.mark.parametrize("cell", ["", "-1", "maybe", "1.5"])
def test_read_splits_of_other_values_calls_the_rows_bad(cell):
    given = splits_of("fold", ["0", cell])
    assert [(one.row, one.kind) for one in given.problems] == [(3, "bad split")]


def test_labels_of_csv_with_a_split_column_takes_the_labels_of_test_away():
    text = "id,label,part\na,x,train\nb,y,eval\nc,,test\n"
    table = labels_of_csv(parse_csv(text.encode(), "train.csv"), LabelOptions(split_column="part"))
    assert (table.class_names, table.splits) == (("x", "y"), ("train", "eval", "test"))
    np.testing.assert_array_equal(table.targets.matrix, [[1, 0], [0, 1], [-1, -1]])
    assert not table.problems and not table.ignored_columns
