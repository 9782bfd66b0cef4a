import csv

import pytest

from orchard.errors import OrchardError
from tests.data_prep.builders import (
    digests,
    fill_disk,
    run,
    write_csv,
)


def test_image_check_without_room_for_a_spool_changes_no_byte(given, tmp_path, monkeypatch):
    first, _ = run(tmp_path / "one", **given)
    fill_disk(monkeypatch)
    second, _ = run(tmp_path / "two", **given)
    assert digests(first) == digests(second)


def test_finish_with_ids_of_one_file_or_in_both_csvs_calls_them_duplicates(given, tmp_path):
    rows = [*csv.reader(open(given["csv"])), ("a001.jpg", "bag")]
    given["csv"] = write_csv(given["csv"], rows)
    given["test_csv"] = write_csv(given["test_csv"], [("image_id",), ("t000",), ("a003",)])
    with pytest.raises(OrchardError, match="2 bad rows .2 duplicate id.*file of row 3 too"):
        run(tmp_path / "out", **given)
    _, said = run(tmp_path / "out", on_bad="skip", **given)
    assert any(
        "test.csv, row 3, 'a003': the labeled CSV has it too, in row 5" in line for line in said
    )
