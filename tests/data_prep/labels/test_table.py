import numpy as np
import pytest

from data_prep.labels.table import LabelOptions, read_ids, read_labels
from orchard.errors import OrchardError
from tests.data_prep.builders import write_csv


def read(tmp_path, rows, **options):
    return read_labels(write_csv(tmp_path / "train.csv", rows), LabelOptions(**options))


def test_one_hot_columns_are_one_label_in_the_order_of_the_columns(tmp_path):
    table = read(tmp_path, [("image_id", "rust", "healthy"), ("a", 1, 0), ("b", 0, 1)])
    assert (table.shape, table.task, table.class_names) == (
        "columns",
        "single_label",
        ("rust", "healthy"),
    )
    np.testing.assert_array_equal(table.targets, [[1, 0], [0, 1]])
    assert table.csv_rows.tolist() == [2, 3]
    assert not table.problems


def test_soft_columns_keep_their_values(tmp_path):
    table = read(tmp_path, [("image_id", "x", "y"), ("a", 0.25, 0.75), ("b", 1, 0)])
    assert table.task == "single_label"
    np.testing.assert_array_equal(table.targets, np.float32([[0.25, 0.75], [1, 0]]))


def test_soft_labels_rounded_to_two_decimals_are_still_one_label(tmp_path):
    rows = [("image_id", "x", "y", "z"), *((f"a{n}", 0.33, 0.33, 0.33) for n in range(9))]
    table = read(tmp_path, rows)
    assert table.task == "single_label" and not table.problems


def test_columns_whose_rows_often_do_not_sum_to_one_are_many_labels(tmp_path):
    rows = [("image_id", "x", "y"), ("a", 1, 1), ("b", 0, 0), ("c", 1, 0)]
    assert read(tmp_path, rows).task == "multi_label"


def test_one_odd_sum_among_many_is_a_bad_row(tmp_path):
    rows = [("image_id", "x", "y"), *((f"a{n}", 1, 0) for n in range(30)), ("odd", 1, 1)]
    (problem,) = read(tmp_path, rows).problems
    assert (problem.row, problem.id, problem.kind) == (32, "odd", "labels do not sum to 1")
    assert "sum to 2" in problem.detail and "--task=multi_label" in problem.detail
    assert not read(tmp_path, rows, task="multi_label").problems


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "x", ""])
def test_values_outside_0_to_1_are_bad(tmp_path, value):
    table = read(tmp_path, [("image_id", "x", "y"), ("a", value, 0), ("b", 1, 0), ("c", 0, 1)])
    (problem,) = table.problems
    assert (problem.row, problem.kind) == (2, "bad label value")
    assert repr(value) in problem.detail and "'x'" in problem.detail


@pytest.mark.parametrize("column", ["label", "labels", "diagnosis", "class"])
def test_a_column_of_names_may_be_called_anything(tmp_path, column):
    table = read(tmp_path, [("image_id", column), ("a", "rust"), ("b", "scab")])
    assert (table.shape, table.task, table.class_names) == (
        "name",
        "single_label",
        ("rust", "scab"),
    )


def test_number_names_are_sorted_by_value(tmp_path):
    table = read(tmp_path, [("image_id", "y"), ("a", "10"), ("b", "9"), ("c", "x")])
    assert table.class_names == ("9", "10", "x")


def test_a_number_name_may_be_longer_than_python_converts(tmp_path):
    long = "1" * 5000
    table = read(tmp_path, [("image_id", "y"), ("a", long), ("b", "09"), ("c", "9")])
    assert table.class_names == ("09", "9", long)


@pytest.mark.parametrize("options", [{"label_columns": ("x", "x")}, {"class_names": ("x", "x")}])
def test_a_class_named_twice_is_refused(tmp_path, options):
    with pytest.raises(OrchardError, match="the class 'x' is named twice"):
        read(tmp_path, [("image_id", "x"), ("a", 1), ("b", 0)], label_shape="columns", **options)


def test_names_with_spaces_that_stand_alone_elsewhere_are_many_labels(tmp_path):
    rows = [("image", "labels"), ("a.jpg", "scab rust"), ("b.jpg", "rust"), ("c.jpg", "scab")]
    table = read(tmp_path, rows)
    assert (table.shape, table.task, table.image_column) == ("names", "multi_label", "image")
    np.testing.assert_array_equal(table.targets, [[1, 1], [1, 0], [0, 1]])


def test_class_names_with_spaces_are_one_label(tmp_path):
    table = read(tmp_path, [("image_id", "label"), ("a", "ankle boot"), ("b", "bag")])
    assert (table.shape, table.class_names) == ("name", ("ankle boot", "bag"))


def test_class_names_with_spaces_may_share_words(tmp_path):
    rows = [("image_id", "label"), ("a", "tabby cat"), ("b", "persian cat"), ("c", "great dane")]
    assert read(tmp_path, rows).shape == "name"


def test_the_same_few_words_in_ever_other_company_ask_for_the_shape(tmp_path):
    several = ["haze primary", "clear primary", "clear primary water", "haze primary water"]
    rows = [("image", "tags"), *((f"a{n}", text) for n, text in enumerate([*several, "cloudy"]))]
    with pytest.raises(OrchardError, match="'haze primary'.*--label_shape=name or"):
        read(tmp_path, rows)


@pytest.mark.parametrize("mark", ["|", ";", ", "])
def test_classes_with_something_else_than_spaces_between_them_are_no_new_class(tmp_path, mark):
    rows = [
        ("image", "finding"),
        ("a", f"mass{mark}no finding"),
        ("b", "mass"),
        ("c", "no finding"),
    ]
    with pytest.raises(OrchardError, match="looks like several classes.*put spaces there"):
        read(tmp_path, rows)
    assert len(read(tmp_path, rows, label_shape="name").class_names) == 3
    assert len(read(tmp_path, rows[:-1]).class_names) == 2


def test_an_ambiguous_space_asks_for_the_shape(tmp_path):
    rows = [("image_id", "label"), ("a", "light rust"), ("b", "rust")]
    with pytest.raises(OrchardError, match="'light rust'.*--label_shape=name or"):
        read(tmp_path, rows)
    assert read(tmp_path, rows, label_shape="name").class_names == ("light rust", "rust")
    assert read(tmp_path, rows, label_shape="names").task == "multi_label"


def test_unknown_and_missing_labels_are_bad_rows(tmp_path):
    rows = [("image_id", "label"), ("a", "bag"), ("b", "hat"), ("c", "")]
    table = read(tmp_path, rows, class_names=("bag", "coat"))
    assert [(p.row, p.kind) for p in table.problems] == [(3, "unknown label"), (4, "no label")]
    assert "'hat'" in table.problems[0].detail
    assert table.class_names == ("bag", "coat")


def test_ids_are_trimmed_and_duplicates_named_with_both_rows(tmp_path):
    table = read(tmp_path, [("image_id", "label"), (" a", "x"), ("a ", "y"), ("", "x")])
    assert table.ids == ("a", "a", "")
    assert [(p.row, p.kind) for p in table.problems] == [(3, "duplicate id"), (4, "empty id")]
    assert "row 2" in table.problems[0].detail


def test_rows_are_counted_as_a_spreadsheet_shows_them(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text('image_id,label\na,x\n\n"b",""\nc\n')
    table = read_labels(str(path), LabelOptions())
    assert [(p.row, p.kind) for p in table.problems] == [
        (4, "no label"),
        (5, "wrong number of cells"),
        (5, "no label"),
    ]


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes("image_id,label\na,x\n".encode("utf-8-sig"))
    assert read_labels(str(path), LabelOptions()).image_column == "image_id"


def test_group_and_ignored_columns_are_no_labels(tmp_path):
    rows = [("image_id", "plant", "label", "note"), ("a", "p1", "x", "n"), ("b", "p2", "y", "n")]
    table = read(tmp_path, rows, group_column="plant", label_columns=("label",))
    assert table.groups == ("p1", "p2")
    assert table.ignored_columns == ("note",)
    assert table.class_names == ("x", "y")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "first row must name the columns"),
        (b"image_id,label\n", "no rows"),
        (b"image_id\na\n", "no label column beside 'image_id'.*--test_csv"),
        (b"image_id,a,a\nx,1,0\n", "row 1: the column 'a' is there twice"),
        (b"image_id,label\nx,caf\xe9\n", "row 2: not UTF-8"),
        (b"image_id,place,kind\nx,here,1\n", "'place' holds 'here'.*--label_columns"),
        (b"id,p,q\na,1,0\nb,u,0\nc,v,0\n", "'p' holds 'u'.*--label_columns"),
        (b'id,label\na,x\nb,"y\nc,x\nd,y\n', "row 3: not a CSV row .*close the quotes"),
        (b'id,label\na,x\nb,"y\nc,x\nd,"y\n', "row 3: not a CSV row .*close the quotes"),
        (b"image_id;label\nx;1\n", "row 1: the columns are separated by ';'.*commas"),
        (b"image_id\tlabel\nx\t1\n", "row 1: the columns are separated by .*commas"),
    ],
)
def test_a_file_that_is_no_label_csv_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    with pytest.raises(OrchardError, match=message) as caught:
        read_labels(str(path), LabelOptions())
    assert "train.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_and_columns_are_named(tmp_path):
    with pytest.raises(OrchardError, match="nowhere.csv: no such CSV file"):
        read_labels(str(tmp_path / "nowhere.csv"), LabelOptions())
    with pytest.raises(OrchardError, match="no column 'name' .*; it has image_id, label"):
        read(tmp_path, [("image_id", "label"), ("a", "x")], image_column="name")


def test_a_sample_submission_gives_ids_without_its_made_up_probabilities(tmp_path):
    path = write_csv(tmp_path / "test.csv", [("image_id", "x", "y"), ("t", 0.25, 0.75)])
    table = read_ids(path, "image_id", ("x", "y"), "single_label")
    assert table.ids == ("t",) and table.shape == "ids"
    assert table.ignored_columns == ("x", "y")
    assert (table.targets == -1).all()
