import csv
import shutil
from pathlib import Path

import pytest

from orchard.errors import OrchardError
from orchard.formats.manifest import load_records
from tests.data_prep.builders import (
    jpeg,
    make_input,
    run,
    write_csv,
)


def test_assign_splits_with_fewer_rows_than_folds_names_the_empty_split(tmp_path):
    given = make_input(tmp_path / "in", rows=2)
    with pytest.raises(OrchardError, match="'fold.' would be empty; .* use fewer folds"):
        run(tmp_path / "out", folds=3, **given)


def test_assign_splits_without_a_usable_test_row_says_so(given, tmp_path):
    given["test_csv"] = write_csv(given["test_csv"], [("image_id",), ("nowhere",)])
    with pytest.raises(OrchardError, match="'test' would be empty; no row of --test_csv is usable"):
        run(tmp_path / "out", on_bad="skip", **given)


def test_assign_splits_of_identical_images_keeps_them_in_one_fold_and_names_them(given, tmp_path):
    images = Path(given["images_dir"])
    for other in ("a004", "a008"):
        shutil.copy(images / "a000.jpg", images / f"{other}.jpg")
    shutil.copy(images / "a001.jpg", images / "t001.jpg")
    directory, said = run(tmp_path / "out", folds=3, **given)
    splits = load_records(directory).set_index("id")["split"]
    assert splits["a000"] == splits["a004"] == splits["a008"]
    assert any(line.startswith("3 identical images in 1 group,") for line in said)
    assert any("1 test image with the content of a labeled one" in line for line in said)
    card = Path(directory, "report.html").read_text()
    assert "a000, a004, a008" in card and "t001" in card and "differ" in card


def test_assign_splits_of_near_duplicates_keeps_them_in_one_fold(given, tmp_path):
    images = Path(given["images_dir"])
    (images / "a005.jpg").write_bytes(jpeg(500, 60, 80, quality=95))
    (images / "a009.jpg").write_bytes(jpeg(500, 60, 80, quality=60))
    for seed in range(6):
        directory, said = run(
            tmp_path / f"{seed}", folds=3, seed=seed, near_duplicates=True, **given
        )
        splits = load_records(directory).set_index("id")["split"]
        assert splits["a005"] == splits["a009"]
    assert any(line.startswith("2 nearly identical images in 1 group,") for line in said)
    assert "a005, a009" in Path(directory, "report.html").read_text()


def test_assign_splits_of_groups_keeps_each_in_one_fold(given, tmp_path):
    rows = list(csv.reader(open(given["csv"])))
    rows = [(*rows[0], "plant"), *((*row, at % 5) for at, row in enumerate(rows[1:]))]
    given["csv"] = write_csv(given["csv"], rows)
    directory, _ = run(tmp_path / "out", folds=3, group_column="plant", **given)
    splits = load_records(directory).set_index("id")["split"]
    for plant in range(5):
        assert len({splits[f"a{at:03d}"] for at in range(12) if at % 5 == plant}) == 1


def test_assign_splits_of_rows_without_a_group_deals_them_out_alone(given, tmp_path):
    rows = list(csv.reader(open(given["csv"])))
    rows = [
        (*rows[0], "plant"),
        *((*row, "one" if at < 2 else "") for at, row in enumerate(rows[1:])),
    ]
    given["csv"] = write_csv(given["csv"], rows)
    splits = load_records(run(tmp_path / "out", folds=3, group_column="plant", **given)[0])
    labelled = splits[splits["split"] != "test"]
    assert labelled["split"].value_counts().max() <= 6
    assert labelled.set_index("id")["split"][["a000", "a001"]].nunique() == 1
