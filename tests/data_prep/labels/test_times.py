import numpy as np
import pytest

from data_prep.labels import LabelOptions, labels_of_csv, parse_csv
from data_prep.labels.times import read_times


def _times(*cells):
    text = "id,when,label\n" + "".join(f"a{n},{cell},x\n" for n, cell in enumerate(cells))
    table = parse_csv(text.encode(), "train.csv")
    return read_times(table, "when", table.column("id"))


def test_read_times_of_numbers_are_the_numbers():
    times, problems = _times("3", "-1.5", "1e9")
    assert times.values.tolist() == [3, -1.5, 1e9] and not problems


@pytest.mark.parametrize(
    "cells",
    [
        ("2024-05-30", "2024-05-31T12:00", "2024-06-01"),
        ("2024:05:30 08:00:00", "2024:05:30 09:00:00", "2025:01:01 00:00:00"),
        ("2024-05-30T23:00:00-01:00", "2024-05-31T01:00:00Z", "2024-05-31T02:00:00+00:00"),
    ],
)
def test_read_times_of_dates_come_in_their_order(cells):
    times, problems = _times(*cells)
    assert not problems and (np.diff(times.values) > 0).all()
    assert times.span(np.array([2, 0, 1])) == f"{cells[0]} to {cells[2]}"


def test_read_times_of_a_date_is_its_second_since_1970():
    assert _times("1970-01-02", "x")[0].values[0] == 86400


def test_read_times_of_no_date_is_a_problem_of_its_row():
    _, problems = _times("2024-05-31", "", "yesterday")
    assert [(one.row, one.id, one.kind) for one in problems] == [
        (3, "a1", "bad time"),
        (4, "a2", "bad time"),
    ]
    assert "'yesterday' in column 'when' is no date such as 2024-05-31" in problems[1].detail


def test_labels_of_csv_with_a_time_column_takes_it_for_no_class():
    csv = parse_csv(b"id,when,label\na,2024-01-01,x\nb,2024-01-02,y\n", "t.csv")
    table = labels_of_csv(csv, LabelOptions(time_column="when"))
    assert table.class_names == ("x", "y") and table.times.values[1] > table.times.values[0]
