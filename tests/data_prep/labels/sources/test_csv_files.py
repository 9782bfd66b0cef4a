from pathlib import Path

import pytest

from orchard.errors import OrchardError
from orchard.formats.manifest import load_records
from tests.data_prep.builders import (
    jpeg,
    run,
)


@pytest.mark.parametrize("csv_flag", ["csv", "test_csv"])
def test_read_of_a_csv_without_a_header_is_refused(given, tmp_path, csv_flag):
    path = Path(given[csv_flag])
    path.write_text(path.read_text().partition("\n")[2])
    first = {"csv": "a000", "test_csv": "t000"}[csv_flag]
    with pytest.raises(OrchardError, match=f"row 1: '{first}' is an image .{first}.jpg."):
        run(tmp_path / "out", **given)


def test_read_of_a_usual_or_named_header_beside_a_file_of_its_name_is_fine(given, tmp_path):
    Path(given["images_dir"], "image_id.jpg").write_bytes(jpeg(1))
    one, _ = run(tmp_path / "out", **given)
    Path(given["images_dir"], "photo.jpg").write_bytes(jpeg(1))
    for flag in ("csv", "test_csv"):
        path = Path(given[flag])
        path.write_text(path.read_text().replace("image_id", "photo"))
    two, _ = run(tmp_path / "two", image_column="photo", **given)
    assert [len(load_records(directory)) for directory in (one, two)] == [15, 15]
