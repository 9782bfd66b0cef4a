import csv
import shutil
from pathlib import Path

import pytest

from orchard.errors import OrchardError
from orchard.formats.manifest import load_manifest, load_records
from tests.data_prep.builders import (
    digests,
    jpeg,
    run,
    write_csv,
)

BAD = {
    "missing": (None, "missing image"),
    "empty": (b"", "empty file"),
    "html": (b"<!DOCTYPE html>", "not a usable image"),
    "cut": (jpeg(1)[:-30], "truncated JPEG"),
}


@pytest.fixture
def bad(given):
    rows = [*csv.reader(open(given["csv"])), *((name, "bag") for name in BAD)]
    rows += [("a001", "bag"), ("../x", "bag"), ("n", "")]
    for name, (data, _) in BAD.items():
        if data is not None:
            Path(given["images_dir"], f"{name}.jpg").write_bytes(data)
    Path(given["images_dir"], "n.jpg").write_bytes(jpeg(1))
    return {**given, "csv": write_csv(given["csv"], rows)}


def test_refuse_bad_rows_with_fail_stops_the_run_and_writes_all_to_the_quarantine(bad, tmp_path):
    with pytest.raises(OrchardError) as caught:
        run(tmp_path / "out", **bad)
    message = str(caught.value)
    assert message.startswith("7 bad rows (")
    assert "the first: train.csv, row 14, 'missing': no file 'missing.jpg'" in message
    assert "--on_bad=skip" in message and "\n" not in message
    assert not (tmp_path / "out" / "clothes").exists()
    quarantine = message.partition("all are in ")[2].partition(";")[0]
    kinds = {row["id"]: (row["row"], row["kind"]) for row in csv.DictReader(open(quarantine))}
    wanted = {name: (str(14 + at), kind) for at, (name, (_, kind)) in enumerate(BAD.items())}
    wanted |= {
        "a001": ("18", "duplicate id"),
        "../x": ("19", "outside the images folder"),
        "n": ("20", "no label"),
    }
    assert kinds == wanted


def test_refuse_bad_rows_with_skip_leaves_them_out_and_counts_them(bad, given, tmp_path):
    directory, said = run(tmp_path / "out", on_bad="skip", **bad)
    assert "left out 7 bad rows, kept 15 (--on_bad=skip)" in said
    assert "missing image: 1" in said
    assert "  train.csv, row 14, 'missing': no file 'missing.jpg'" in said
    assert len(load_records(directory)) == 15
    assert len(list(csv.reader(open(Path(directory, "quarantine.csv"))))) == 8
    assert load_manifest(directory).inputs["csv"]["rows_left_out"] == 7
    card = Path(directory, "report.html").read_text()
    assert "&#39;missing.jpg&#39;" in card


def test_quarantine_of_csvs_with_other_names_has_the_same_bytes(bad, tmp_path):
    damaged = b"\x89PNG\r\n\x1a\n" + b"\xff" * 80 + b"IEND\xaeB`\x82"
    Path(bad["images_dir"], "cut.jpg").write_bytes(damaged)
    one = run(tmp_path / "one", on_bad="skip", **bad)[0]
    shutil.move(bad["csv"], tmp_path / "other.csv")
    two = run(tmp_path / "two", on_bad="skip", **{**bad, "csv": str(tmp_path / "other.csv")})[0]
    assert digests(one) == digests(two)
    assert {row["file"] for row in csv.DictReader(open(Path(one, "quarantine.csv")))} == {"csv"}


def test_refuse_bad_rows_of_one_kind_lists_ten_and_counts_all(given, tmp_path):
    rows = [("image_id", "label"), ("a000", "bag"), *((f"m{n}", "bag") for n in range(25))]
    given["csv"] = write_csv(given["csv"], rows)
    _, said = run(tmp_path / "out", on_bad="skip", **given)
    assert "missing image: 25" in said and "  and 15 more" in said
    assert sum("'m" in line for line in said) == 10


def test_refuse_bad_rows_without_a_good_one_stops_even_with_skip(given, tmp_path):
    given["csv"] = write_csv(given["csv"], [("image_id", "label"), ("m", "bag")])
    with pytest.raises(OrchardError, match="no labeled row is left"):
        run(tmp_path / "out", on_bad="skip", **given)


def test_refuse_bad_rows_counts_odd_images_and_takes_them(given, tmp_path):
    file = Path(given["images_dir"]) / "a002.jpg"
    data = file.read_bytes()
    file.write_bytes(data[:20] + b"stray" + data[20:])
    directory, said = run(tmp_path / "out", **given)
    line = "train.csv: 1 odd image, with bytes that every decoder skips; the first is 'a002.jpg'"
    assert line in said
    assert len(load_records(directory)) == 15
