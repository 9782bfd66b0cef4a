import pytest

from data_prep.labels.table import LabelOptions, read_ids, read_labels
from orchard.errors import OrchardError
from tests.data_prep.builders import write_csv


def read(tmp_path, rows, **options):
    return read_labels(write_csv(tmp_path / "train.csv", rows), LabelOptions(**options))


@pytest.mark.parametrize("options", [{"label_columns": ("x", "x")}, {"class_names": ("x", "x")}])
def test_read_labels_with_a_class_named_twice_is_refused(tmp_path, options):
    with pytest.raises(OrchardError, match="the class 'x' is named twice"):
        read(tmp_path, [("image_id", "x"), ("a", 1), ("b", 0)], label_shape="columns", **options)


def test_read_labels_trims_ids_and_names_both_rows_of_duplicates(tmp_path):
    table = read(tmp_path, [("image_id", "label"), (" a", "x"), ("a ", "y"), ("", "x")])
    assert table.ids == ("a", "a", "")
    assert [(p.row, p.kind) for p in table.problems] == [(3, "duplicate id"), (4, "empty id")]
    assert "row 2" in table.problems[0].detail


def test_read_labels_with_group_and_ignored_columns_takes_them_for_no_labels(tmp_path):
    rows = [("image_id", "plant", "label", "note"), ("a", "p1", "x", "n"), ("b", "p2", "y", "n")]
    table = read(tmp_path, rows, group_column="plant", label_columns=("label",))
    assert table.groups == ("p1", "p2")
    assert table.ignored_columns == ("note",)
    assert table.class_names == ("x", "y")


def test_read_ids_of_a_sample_submission_ignores_its_probabilities(tmp_path):
    path = write_csv(tmp_path / "test.csv", [("image_id", "x", "y"), ("t", 0.25, 0.75)])
    table = read_ids(path, "image_id", ("x", "y"), "single_label")
    assert table.ids == ("t",) and table.shape == "ids"
    assert table.ignored_columns == ("x", "y")
    assert (table.targets.matrix == -1).all()
