import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.labels import LabelOptions, labels_of_csv, parse_csv, read_table, rows_as_csv
from data_prep.labels.other_tables import parse_json_lines
from orchard.errors import OrchardError

_COLUMNS = {"image_id": ["a", "b", "c"], "label": ["rust", None, "scab"], "n": [1, 2, None]}


def _parquet(path, columns):
    pq.write_table(pa.table(columns), path)
    return str(path)


def _json_lines(path, columns):
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("write", "name", "first"), [(_parquet, "t.parquet", 1), (_json_lines, "t.jsonl", 1)]
)
def test_read_table_has_the_cells_that_a_csv_would_have(write, name, first, tmp_path):
    table = read_table(write(tmp_path / name, _COLUMNS))
    assert table.header == ["image_id", "label", "n"]
    assert table.rows == [["a", "rust", "1"], ["b", "", "2"], ["c", "scab", ""]]
    assert table.row_numbers == [first, first + 1, first + 2]
    assert table.file == name and len(table.sha256) == 64


def test_read_table_of_values_of_all_kinds_writes_them_as_a_csv_would(tmp_path):
    columns = {
        "id": ["a"],
        "yes": [True],
        "soft": [0.25],
        "names": [["rust", "scab"]],
        "day": [datetime.date(2024, 5, 31)],
        "none": [float("nan")],
    }
    table = read_table(_parquet(tmp_path / "t.parquet", columns))
    assert table.rows == [["a", "True", "0.25", '["rust", "scab"]', "2024-05-31", ""]]


def test_read_table_drops_the_index_of_pandas(tmp_path):
    path = _parquet(tmp_path / "t.parquet", {"id": ["a"], "label": ["x"], "__index_level_0__": [7]})
    assert read_table(path).header == ["id", "label"]


def test_labels_of_lists_in_json_lines_are_those_of_a_csv(tmp_path):
    columns = {"id": ["a", "b"], "labels": [["rust"], ["rust", "scab"]]}
    table = labels_of_csv(read_table(_json_lines(tmp_path / "t.jsonl", columns)), LabelOptions())
    assert table.class_names == ("rust", "scab") and table.task == "multi_label"
    assert table.targets.matrix.tolist() == [[1, 0], [1, 1]]


def test_parse_json_lines_of_other_names_in_later_lines_has_all_columns():
    table = parse_json_lines(b'{"id": "a"}\n\n{"label": "x", "id": "b"}\n', "t.jsonl")
    assert table.header == ["id", "label"]
    assert table.rows == [["a", ""], ["b", "x"]] and table.row_numbers == [1, 3]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "t.jsonl: no rows"),
        (b'{"id": 1}\n{"id": \n', "row 2: no JSON"),
        (b'["a", "b"]\n', "row 1: '.*' is no object"),
        (b'{"id": "a", "box": {"x": 1}}\n', "row 1: column 'box' holds dict"),
        (b'{"id": "\xff"}\n', "row 1: not UTF-8"),
        (b'{"id": 1, " id": 2}\n', "column 'id' appears twice"),
    ],
)
def test_parse_json_lines_that_are_no_table_are_refused_naming_the_row(content, words):
    with pytest.raises(OrchardError, match=words) as caught:
        parse_json_lines(content, "t.jsonl")
    assert "\n" not in str(caught.value)


def test_read_table_of_damaged_parquet_is_refused_in_one_line(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(OrchardError, match="no Parquet file") as caught:
        read_table(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"id": ["a"], "day": pa.array([2**30], pa.date32())}, "column 'day' cannot be read"),
        (
            {"id": pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())},
            "no Parquet file \\(.*UTF8",
        ),
        ({"id": pa.nulls(5_000_001, pa.string())}, "5,000,001 values in .* are no table of labels"),
        ({"id": ["a"], "box": [[0] * 5_000_001]}, "5,000,002 values in .* are no table of labels"),
    ],
    ids=("day_beyond_the_calendar", "no_utf8", "row_bomb", "list_bomb"),
)
def test_read_table_of_impossible_parquet_is_refused_in_one_line(columns, words, tmp_path):
    with pytest.raises(OrchardError, match=words) as caught:
        read_table(_parquet(tmp_path / "t.parquet", columns))
    assert "\n" not in str(caught.value)


def test_read_table_of_parquet_with_a_column_twice_is_refused(tmp_path):
    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["id", "id"])
    pq.write_table(twice, tmp_path / "t.parquet")
    with pytest.raises(OrchardError, match="the column 'id' appears twice"):
        read_table(str(tmp_path / "t.parquet"))


def test_read_table_of_one_long_text_in_many_rows_keeps_it_once(tmp_path):
    text = "x" * 100_000
    labels = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), [text])
    columns = {"id": [str(row) for row in range(20_000)], "label": labels}
    rows = read_table(_parquet(tmp_path / "t.parquet", columns)).rows  # 2 GB, if it were copied.
    assert rows[0][1] == text and all(row[1] is rows[0][1] for row in rows)


def test_read_table_of_images_in_parquet_says_that_photos_belong_into_files(tmp_path):
    path = _parquet(tmp_path / "t.parquet", {"id": ["a"], "image": [{"bytes": b"x", "path": "y"}]})
    with pytest.raises(OrchardError, match="column 'image' holds dict.* put photos into files"):
        read_table(path)


def test_read_table_without_a_file_is_refused(tmp_path):
    with pytest.raises(OrchardError, match="no such CSV file"):
        read_table(str(tmp_path / "absent.parquet"))


_TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=8).map(
    str.strip
)


@given(st.lists(st.tuples(_TEXT, _TEXT), min_size=1, max_size=5))
def test_parse_json_lines_agrees_with_the_csv_of_the_same_rows(rows):
    lines = "\n".join(
        json.dumps({"id": one, "label": other}, ensure_ascii=False) for one, other in rows
    )
    table = parse_json_lines(lines.encode(), "t")
    csv = parse_csv(rows_as_csv(("id", "label"), rows), "t")
    for column in ("id", "label"):
        assert table.column(column) == csv.column(column)
