import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_prep.labels.csv_table import parse_csv
from data_prep.labels.table import LabelOptions, labels_of_csv, read_labels, rows_as_csv
from orchard.errors import OrchardError
from tests.data_prep.builders import write_csv


def read(tmp_path, rows, **options):
    return read_labels(write_csv(tmp_path / "train.csv", rows), LabelOptions(**options))


def test_from_columns_of_one_hot_values_is_one_label_in_their_order(tmp_path):
    table = read(tmp_path, [("image_id", "rust", "healthy"), ("a", 1, 0), ("b", 0, 1)])
    assert (table.shape, table.task, table.class_names) == (
        "columns",
        "single_label",
        ("rust", "healthy"),
    )
    np.testing.assert_array_equal(table.targets.matrix, [[1, 0], [0, 1]])
    assert table.csv_rows.tolist() == [2, 3]
    assert not table.problems


def test_from_columns_of_soft_values_keeps_them(tmp_path):
    table = read(tmp_path, [("image_id", "x", "y"), ("a", 0.25, 0.75), ("b", 1, 0)])
    assert table.task == "single_label"
    np.testing.assert_array_equal(table.targets.matrix, np.float32([[0.25, 0.75], [1, 0]]))


def test_from_columns_of_rounded_soft_values_is_one_label(tmp_path):
    rows = [("image_id", "x", "y", "z"), *((f"a{n}", 0.33, 0.33, 0.33) for n in range(9))]
    table = read(tmp_path, rows)
    assert table.task == "single_label" and not table.problems


def test_from_columns_that_often_do_not_sum_to_one_is_many_labels(tmp_path):
    rows = [("image_id", "x", "y"), ("a", 1, 1), ("b", 0, 0), ("c", 1, 0)]
    assert read(tmp_path, rows).task == "multi_label"


def test_from_columns_with_one_odd_sum_calls_the_row_bad(tmp_path):
    rows = [("image_id", "x", "y"), *((f"a{n}", 1, 0) for n in range(30)), ("odd", 1, 1)]
    (problem,) = read(tmp_path, rows).problems
    assert (problem.row, problem.id, problem.kind) == (32, "odd", "labels do not sum to 1")
    assert "sum to 2" in problem.detail and "--task=multi_label" in problem.detail
    assert not read(tmp_path, rows, task="multi_label").problems


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "x", ""])
def test_from_columns_with_values_outside_0_to_1_calls_them_bad(tmp_path, value):
    table = read(tmp_path, [("image_id", "x", "y"), ("a", value, 0), ("b", 1, 0), ("c", 0, 1)])
    (problem,) = table.problems
    assert (problem.row, problem.kind) == (2, "bad label value")
    assert repr(value) in problem.detail and "'x'" in problem.detail


@pytest.mark.parametrize("column", ["label", "labels", "diagnosis", "class"])
def test_from_names_of_a_column_of_any_name_reads_it(tmp_path, column):
    table = read(tmp_path, [("image_id", column), ("a", "rust"), ("b", "scab")])
    assert (table.shape, table.task, table.class_names) == (
        "name",
        "single_label",
        ("rust", "scab"),
    )


def test_from_names_of_numbers_sorts_them_by_value(tmp_path):
    table = read(tmp_path, [("image_id", "y"), ("a", "10"), ("b", "9"), ("c", "x")])
    assert table.class_names == ("9", "10", "x")


def test_from_names_of_a_very_long_number_sorts_it(tmp_path):
    long = "1" * 5000
    table = read(tmp_path, [("image_id", "y"), ("a", long), ("b", "09"), ("c", "9")])
    assert table.class_names == ("09", "9", long)


def test_detect_shape_of_words_that_also_stand_alone_is_names(tmp_path):
    rows = [("image", "labels"), ("a.jpg", "scab rust"), ("b.jpg", "rust"), ("c.jpg", "scab")]
    table = read(tmp_path, rows)
    assert (table.shape, table.task, table.image_column) == ("names", "multi_label", "image")
    np.testing.assert_array_equal(table.targets.matrix, [[1, 1], [1, 0], [0, 1]])


def test_detect_shape_of_names_with_spaces_is_name(tmp_path):
    table = read(tmp_path, [("image_id", "label"), ("a", "ankle boot"), ("b", "bag")])
    assert (table.shape, table.class_names) == ("name", ("ankle boot", "bag"))


def test_detect_shape_of_names_that_share_words_is_name(tmp_path):
    rows = [("image_id", "label"), ("a", "tabby cat"), ("b", "persian cat"), ("c", "great dane")]
    assert read(tmp_path, rows).shape == "name"


def test_detect_shape_of_few_words_in_many_combinations_asks(tmp_path):
    several = ["haze primary", "clear primary", "clear primary water", "haze primary water"]
    rows = [("image", "tags"), *((f"a{n}", text) for n, text in enumerate([*several, "cloudy"]))]
    with pytest.raises(OrchardError, match="'haze primary'.*--label_shape=name or"):
        read(tmp_path, rows)


@pytest.mark.parametrize("mark", ["|", ";", ", "])
def test_detect_shape_of_classes_joined_by_other_marks_refuses_them(tmp_path, mark):
    rows = [
        ("image", "finding"),
        ("a", f"mass{mark}no finding"),
        ("b", "mass"),
        ("c", "no finding"),
    ]
    asks = f"may be several classes.*--label_delimiter='[{mark.strip()}]' or --label_shape=name"
    with pytest.raises(OrchardError, match=asks):
        read(tmp_path, rows)
    assert len(read(tmp_path, rows, label_shape="name").class_names) == 3
    # One label that never stands alone answers nothing.
    with pytest.raises(OrchardError, match=asks):
        read(tmp_path, rows[:-1])
    table = read(tmp_path, rows, label_delimiter=mark.strip())
    assert (table.class_names, table.task) == (("mass", "no finding"), "multi_label")
    np.testing.assert_array_equal(table.targets.matrix, [[1, 1], [1, 0], [0, 1]])


def test_detect_shape_of_parts_that_recur_in_joined_cells_alone_asks(tmp_path):
    rows = [("image", "tags"), ("a", "cat|dog"), ("b", "dog|bird"), ("c", "fish")]
    with pytest.raises(OrchardError, match="--label_delimiter='[|]' or --label_shape=name"):
        read(tmp_path, rows)


@pytest.mark.parametrize("names", [("n/a", "cat"), ("animals/cat", "animals/dog"), ("R&D", "x|y")])
def test_detect_shape_of_marks_within_names_is_name(tmp_path, names):
    table = read(tmp_path, [("image", "label"), *zip("ab", names, strict=True)])
    assert (table.shape, set(table.class_names)) == ("name", set(names))


@pytest.mark.parametrize("mark", [", ", "; ", "|"])
def test_from_names_of_shape_names_with_other_marks_asks_for_the_delimiter(tmp_path, mark):
    rows = [("image", "labels"), ("a", f"animals{mark}cat"), ("b", "plants")]
    with pytest.raises(OrchardError, match=f"--label_delimiter='[{mark.strip()}]'"):
        read(tmp_path, rows, label_shape="names")


@pytest.mark.parametrize(
    "cells",
    [
        ("['cat', 'dog']", "['dog']", "['cat']"),
        ('["cat", "dog"]', '["dog"]', '["cat"]'),
        ("['cat' 'dog']", "['dog']", "['cat']"),  # As NumPy prints it.
        ("[cat, dog]", "[dog]", "[cat]"),
        ("('cat', 'dog')", "('dog',)", "('cat',)"),
        ("{'cat', 'dog'}", "{'dog'}", "{'cat'}"),
    ],
)
def test_from_names_of_lists_reads_their_items(tmp_path, cells):
    table = read(tmp_path, [("image", "labels"), *zip("abc", cells, strict=True)])
    assert (table.shape, table.task, table.class_names) == ("names", "multi_label", ("cat", "dog"))
    np.testing.assert_array_equal(table.targets.matrix, [[1, 1], [0, 1], [1, 0]])
    assert not table.problems


def test_from_names_of_lists_of_one_item_is_one_label(tmp_path):
    rows = [("image", "labels"), ("a", "['it\\'s, one']"), ("b", '["dog"]')]
    table = read(tmp_path, rows)
    assert (table.shape, table.class_names) == ("name", ("dog", "it's, one"))


def test_from_names_of_an_empty_list_has_no_class(tmp_path):
    table = read(tmp_path, [("image", "labels"), ("a", "[]"), ("b", "['x', 'y']"), ("c", "")])
    np.testing.assert_array_equal(table.targets.matrix, [[0, 0], [1, 1], [0, 0]])
    assert [(one.row, one.kind) for one in table.problems] == [(4, "no label")]


def test_from_names_of_several_in_a_list_where_one_is_meant_calls_the_row_bad(tmp_path):
    rows = [("image", "labels"), ("a", "['x', 'y']"), ("b", "['x']")]
    (problem,) = read(tmp_path, rows, label_shape="name").problems
    assert (problem.row, problem.kind) == (2, "several labels")


def test_from_names_of_lists_of_zeros_and_ones_refuses_them(tmp_path):
    rows = [("image", "labels"), ("a", "[1, 0, 0]"), ("b", "[0, 1, 0]")]
    with pytest.raises(OrchardError, match="one value a class.*column of its own"):
        read(tmp_path, rows)


def test_from_columns_of_true_and_false_is_one_hot(tmp_path):
    rows = [("image_id", "x", "y"), ("a", "True", "False"), ("b", "FALSE", "true")]
    table = read(tmp_path, rows)
    np.testing.assert_array_equal(table.targets.matrix, [[1, 0], [0, 1]])
    assert (table.task, table.problems) == ("single_label", ())


def one_hot_with(name, values):
    rows = [(f"a{n}", n % 2, 1 - n % 2, value) for n, value in enumerate(values)]
    return [("image_id", "x", "y", name), *rows]


@pytest.mark.parametrize("name", ["fold", "is_train", "is_valid", "kfold", "Split", "fold_id"])
def test_from_columns_beside_one_named_like_a_split_asks(tmp_path, name):
    rows = one_hot_with(name, [0, 1, 1] * 8)
    with pytest.raises(OrchardError, match=f"'{name}'.*--split_column={name}.*=x,y .*=x,y,{name}"):
        read(tmp_path, rows)
    assert read(tmp_path, rows, label_columns=("x", "y")).task == "single_label"
    assert read(tmp_path, rows, label_columns=("x", "y", name)).task == "multi_label"


def test_from_columns_where_one_alone_makes_many_labels_asks(tmp_path):
    rows = one_hot_with("flash", [0, 1, 1] * 8)
    with pytest.raises(OrchardError, match="'flash' alone makes.*--label_columns=x,y.*=x,y,flash"):
        read(tmp_path, rows)
    assert read(tmp_path, rows, task="multi_label").task == "multi_label"


def test_from_columns_where_one_has_its_rows_together_asks(tmp_path):
    bits = [(f"a{n}", n % 2, n // 2 % 2, n // 3 % 2, int(n >= 12)) for n in range(24)]
    with pytest.raises(OrchardError, match="'late' has all rows of one value together"):
        read(tmp_path, [("image_id", "x", "y", "z", "late"), *bits])
    assert read(tmp_path, [("image_id", "x", "y", "z"), *(row[:4] for row in bits)]).class_names


def test_from_columns_with_the_number_of_a_class_asks(tmp_path):
    rows = [("image_id", "label", "flash"), *((f"a{n}", n % 5, n % 2) for n in range(20))]
    with pytest.raises(OrchardError, match="--label_columns=label if it is the class's number"):
        read(tmp_path, rows)


def test_from_columns_of_soft_values_of_one_decimal_asks_for_the_task(tmp_path):
    rows = [("image_id", "x", "y", "z"), *((f"a{n}", 0.3, 0.3, 0.3) for n in range(9))]
    message = "one decimal.* as 0.9 in row 2; pass --task=single_label or --task=multi"
    with pytest.raises(OrchardError, match=message):
        read(tmp_path, rows)
    table = read(tmp_path, rows, task="single_label")
    assert (table.task, table.problems) == ("single_label", ())
    assert read(tmp_path, rows, task="multi_label").task == "multi_label"


def test_detect_shape_of_an_ambiguous_space_asks(tmp_path):
    rows = [("image_id", "label"), ("a", "light rust"), ("b", "rust")]
    with pytest.raises(OrchardError, match="'light rust'.*--label_shape=name or"):
        read(tmp_path, rows)
    assert read(tmp_path, rows, label_shape="name").class_names == ("light rust", "rust")
    assert read(tmp_path, rows, label_shape="names").task == "multi_label"


def test_from_names_of_unknown_or_missing_labels_calls_the_rows_bad(tmp_path):
    rows = [("image_id", "label"), ("a", "bag"), ("b", "hat"), ("c", "")]
    table = read(tmp_path, rows, class_names=("bag", "coat"))
    assert [(p.row, p.kind) for p in table.problems] == [(3, "unknown label"), (4, "no label")]
    assert "'hat'" in table.problems[0].detail
    assert table.class_names == ("bag", "coat")


def test_from_names_of_lists_and_other_cells_takes_all_for_names(tmp_path):
    rows = [("image", "labels"), ("a", "['cat']"), ("b", "dog"), ("c", "['cat']")]
    table = read(tmp_path, rows)
    assert (table.shape, table.class_names) == ("name", ("['cat']", "dog"))


def test_from_names_of_nothing_but_empty_cells_has_no_class(tmp_path):
    table = read(tmp_path, [("image", "labels"), ("a", ""), ("b", "")])
    assert (table.shape, table.class_names) == ("name", ())
    assert [one.kind for one in table.problems] == ["no label", "no label"]


def test_from_names_of_lists_with_a_delimiter_refuses_it(tmp_path):
    rows = [("image", "labels"), ("a", "['cat', 'dog']"), ("b", "['dog']")]
    with pytest.raises(OrchardError, match=r"holds lists, such as .*leave out --label_delimiter"):
        read(tmp_path, rows, label_delimiter="|")


@pytest.mark.parametrize("cells", [("[1]", "[0]"), ("[1, 0]", "[0, 1]"), ("[1 0]", "[0 1]")])
def test_from_names_of_short_lists_of_zeros_and_ones_names_classes(tmp_path, cells):
    table = read(tmp_path, [("image", "labels"), *zip("ab", cells, strict=True)])
    assert table.problems == () and len(table.class_names) >= 2


@pytest.mark.parametrize("alone", [9, 10])
@pytest.mark.parametrize("first", [0, 1])
def test_from_columns_of_rows_that_lie_together_asks_from_ten_on(tmp_path, alone, first):
    late = [first] * alone + [1 - first] * (30 - alone)
    bits = [(f"a{n}", n % 2, n // 2 % 2, n // 3 % 2, late[n]) for n in range(30)]
    rows = [("image_id", "x", "y", "z", "late"), *bits]
    if alone < 10:
        assert read(tmp_path, rows).class_names == ("x", "y", "z", "late")
    else:
        with pytest.raises(OrchardError, match="'late' has all rows of one value together"):
            read(tmp_path, rows)


def test_from_columns_of_rows_that_lie_in_three_blocks_asks_nothing(tmp_path):
    late = [0] * 10 + [1] * 10 + [0] * 10
    bits = [(f"a{n}", n % 2, n // 2 % 2, n // 3 % 2, late[n]) for n in range(30)]
    assert read(tmp_path, [("image_id", "x", "y", "z", "late"), *bits]).class_names


@pytest.mark.parametrize(("value", "is_off"), [(0.982, False), (0.978, True)])
def test_from_columns_of_sums_of_three_classes_may_be_off_by_rounding(tmp_path, value, is_off):
    # 0.001 and 0.005 a class: 0.016.
    rows = [("image_id", "x", "y", "z"), *((f"a{n}", 1, 0, 0) for n in range(40))]
    rows.append(("odd", round(value + 0.003, 3), 0, 0))
    assert bool(read(tmp_path, rows).problems) == is_off


def test_from_columns_of_very_many_classes_may_be_off_by_five_hundredths(tmp_path):
    names = [f"c{n}" for n in range(30)]
    rows = [("image_id", *names), *((f"a{n}", 1, *[0] * 29) for n in range(60))]
    rows += [("in", 0.955, *[0] * 29), ("out", 0.945, *[0] * 29)]
    assert [one.id for one in read(tmp_path, rows).problems] == ["out"]


@pytest.mark.parametrize(("odd", "task"), [(5, "single_label"), (6, "multi_label")])
def test_from_columns_is_many_labels_where_more_than_a_twentieth_is_off(tmp_path, odd, task):
    bits = [(f"a{n}", 1, 1 if n < odd else 0) for n in range(100)]
    table = read(tmp_path, [("image_id", "x", "y"), *bits], label_columns=("x", "y"))
    assert (table.task, len(table.problems)) == (task, odd if task == "single_label" else 0)


# What may stand in a cell: any text but NUL and what a trimmed cell cannot begin or end with.
CELLS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\n\r"),
    min_size=1,
    max_size=9,
).filter(lambda text: text == text.strip())
_BRACKETS = {("[", "]"), ("(", ")"), ("{", "}")}
NAMES = st.lists(CELLS, min_size=1, max_size=5, unique=True)


def parse(header, rows, **options):
    table = parse_csv(rows_as_csv(header, rows), "train.csv")
    return labels_of_csv(table, LabelOptions(image_column="image_id", **options))


def ids(count):
    return [f"i{number}" for number in range(count)]


@given(NAMES, st.data())
def test_from_names_of_any_one_class_a_row_finds_it(names, data):
    classes = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=20))
    # A column of nothing but lists such as [0] names what is in them, whatever the shape.
    assume(any((name[0], name[-1]) not in _BRACKETS for name in classes))
    rows = list(zip(ids(len(classes)), classes, strict=True))
    table = parse(("image_id", "label"), rows, label_shape="name")
    assert [table.class_names[target.argmax()] for target in table.targets.matrix] == classes
    assert (table.targets.matrix.sum(1) == 1).all() and not table.problems
    assert set(table.class_names) == set(classes)


@given(
    st.lists(
        st.sets(st.sampled_from(["rust", "scab", "7", "\u00e9", "a,b"]), min_size=1),
        min_size=1,
        max_size=20,
    )
)
def test_from_names_of_any_classes_a_row_finds_all_of_them(classes):
    rows = list(zip(ids(len(classes)), (" ".join(sorted(row)) for row in classes), strict=True))
    table = parse(("image_id", "labels"), rows, label_shape="names")
    found = [{table.class_names[at] for at in np.flatnonzero(row)} for row in table.targets.matrix]
    assert found == classes and table.task == "multi_label"


@given(st.integers(1, 6), st.data())
def test_from_columns_of_any_values_from_0_to_1_keeps_them(num_classes, data):
    values = st.lists(st.floats(0, 1, width=32), min_size=num_classes, max_size=num_classes)
    given_values = data.draw(st.lists(values, min_size=1, max_size=20))
    names = [f"class {number}" for number in range(num_classes)]
    rows = [(name, *row) for name, row in zip(ids(len(given_values)), given_values, strict=True)]
    table = parse(("image_id", *names), rows, label_shape="columns", task="multi_label")
    np.testing.assert_array_equal(table.targets.matrix, np.float32(given_values))
    assert table.class_names == tuple(names) and not table.problems
