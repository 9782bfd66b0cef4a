import csv

from hypothesis import given
from hypothesis import strategies as st

from data_prep.labels.problems import Problem, describe, quarantine_csv, summary

TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r"))


def problem(row, kind="missing image"):
    return Problem("train.csv", row, f"a{row}", kind, f"no file 'a{row}.jpg'")


def test_describe_of_many_problems_counts_each_kind_and_lists_ten():
    lines = describe([problem(1, "empty file"), *map(problem, range(2, 14))])
    assert lines[0] == "missing image: 12"
    assert lines[1] == "  train.csv, row 2, 'a2': no file 'a2.jpg'"
    assert lines[11:] == [
        "  and 2 more",
        "empty file: 1",
        "  train.csv, row 1, 'a1': no file 'a1.jpg'",
    ]


def test_summary_of_two_problems_in_a_row_counts_the_row_once():
    text = summary([problem(3), problem(3, "no label")])
    assert text.startswith("1 bad row (1 missing image, 1 no label); the first: train.csv, row 3,")


@given(st.lists(st.builds(Problem, TEXTS, st.integers(1), TEXTS, TEXTS, TEXTS)))
def test_quarantine_csv_of_any_problems_reads_back(problems):
    lines = quarantine_csv(problems).decode().split("\n")
    rows = list(csv.DictReader(line + "\n" for line in lines))
    assert rows == [{name: str(value) for name, value in one._asdict().items()} for one in problems]
