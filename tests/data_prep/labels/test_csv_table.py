import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.labels.csv_table import find_image_column, parse_csv
from data_prep.labels.table import LabelOptions, read_labels, rows_as_csv
from orchard.errors import OrchardError
from tests.data_prep.builders import write_csv


def read(tmp_path, rows, **options):
    return read_labels(write_csv(tmp_path / "train.csv", rows), LabelOptions(**options))


def test_read_labels_with_empty_lines_counts_rows_as_a_spreadsheet(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text('image_id,label\na,x\n\n"b",""\nc\n')
    table = read_labels(str(path), LabelOptions())
    assert [(p.row, p.kind) for p in table.problems] == [
        (4, "no label"),
        (5, "wrong number of cells"),
        (5, "no label"),
    ]


def test_read_labels_with_a_byte_order_mark_reads_the_header(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes("image_id,label\na,x\n".encode("utf-8-sig"))
    assert read_labels(str(path), LabelOptions()).image_column == "image_id"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "first row must name the columns"),
        (b"image_id,label\n", "no rows"),
        (b"image_id\na\n", "no label column beside 'image_id'.*--test_csv"),
        (b"image_id,a,a\nx,1,0\n", "row 1: the column 'a' appears twice"),
        (b"image_id,label\nx,caf\xe9\n", "row 2: not UTF-8"),
        (b"image_id,place,kind\nx,here,1\n", "'place' holds 'here'.*--label_columns"),
        (b"id,p,q\na,1,0\nb,u,0\nc,v,0\n", "'p' holds 'u'.*--label_columns"),
        (b'id,label\na,x\nb,"y\nc,x\nd,y\n', "row 3: not a CSV row .*close the quotes"),
        (b'id,label\na,x\nb,"y\nc,x\nd,"y\n', "row 3: not a CSV row .*close the quotes"),
        (b"image_id;label\nx;1\n", "row 1: the columns are separated by ';'.*commas"),
        (b"image_id\tlabel\nx\t1\n", "row 1: the columns are separated by .*commas"),
    ],
)
def test_read_labels_of_what_is_no_label_csv_raises_one_line(tmp_path, content, message):
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    with pytest.raises(OrchardError, match=message) as caught:
        read_labels(str(path), LabelOptions())
    assert "train.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_read_labels_of_a_missing_file_or_column_names_it(tmp_path):
    with pytest.raises(OrchardError, match="nowhere.csv: no such CSV file"):
        read_labels(str(tmp_path / "nowhere.csv"), LabelOptions())
    with pytest.raises(OrchardError, match="no column 'name' .*; it has image_id, label"):
        read(tmp_path, [("image_id", "label"), ("a", "x")], image_column="name")


@pytest.mark.parametrize(
    ("cells", "is_index"),
    [
        (("0", "1", "2"), True),
        (("1", "2", "3"), True),
        (("2", "3", "4"), False),
        (("0", "2", "3"), False),
        (("1", "1", "1"), False),
        (("", "", ""), True),
        (("", "", "x"), False),
    ],
)
def test_index_columns_count_the_rows_or_are_empty(cells, is_index):
    rows = [(cell, f"a{at}", "x") for at, cell in enumerate(cells)]
    for name in ("", "Unnamed: 0"):
        table = parse_csv(rows_as_csv((name, "image_id", "label"), rows), "train.csv")
        assert table.index_columns == ((name,) if is_index else ())
    named = parse_csv(rows_as_csv(("n", "image_id", "label"), rows), "train.csv")
    assert named.index_columns == ()


def test_index_columns_of_two_columns_are_none():
    table = parse_csv(rows_as_csv(("", "label"), [("0", "x"), ("1", "y")]), "train.csv")
    assert table.index_columns == () and find_image_column(table, None) == ""


@given(
    st.lists(
        st.tuples(
            *[st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r"))] * 2
        ),
        min_size=1,
    )
)
def test_parse_csv_of_written_rows_gives_their_cells(rows):
    table = parse_csv(rows_as_csv(("image_id", "label"), rows), "train.csv")
    assert [tuple(row) for row in table.rows] == rows
    assert table.row_numbers == list(range(2, len(rows) + 2)) and not table.problems


@given(st.binary(max_size=200))
def test_parse_csv_of_any_bytes_gives_a_table_or_one_line(data):
    try:
        table = parse_csv(data, "train.csv")
    except OrchardError as error:
        assert str(error).startswith("train.csv") and "\n" not in str(error)
    else:
        assert all(len(row) == len(table.header) for row in table.rows)
