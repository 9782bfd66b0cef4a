"""One dataset from beginning to end, as `prepare` leaves it."""

import csv
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.pipeline import next_command, prepare
from orchard.errors import OrchardError
from orchard.formats.manifest import load_manifest, load_records
from tests.data_prep.builders import (
    CLASSES,
    config,
    digests,
    make_input,
    run,
    write_csv,
)
from trainer import TrainConfig


def test_prepare_of_a_csv_makes_each_row_a_record_of_its_own_bytes(given, tmp_path):
    directory, _ = run(tmp_path / "out", folds=3, **given)
    manifest = load_manifest(directory)
    assert list(manifest.splits) == ["fold0", "fold1", "fold2", "test"]
    assert manifest.class_names == CLASSES and manifest.task == "single_label"
    assert [split.num_records for split in manifest.splits.values()] == [4, 4, 4, 3]
    assert manifest.splits["fold0"].labelled and not manifest.splits["test"].labelled
    records = load_records(directory)
    assert len(records) == 15 and records["id"].is_unique
    labels = dict(csv.reader(open(given["csv"])))
    for row in records.itertuples():
        target = [-1] * 3 if row.split == "test" else [float(labels[row.id] == c) for c in CLASSES]
        np.testing.assert_array_equal(row.target, target)
        with open(Path(directory, manifest.splits[row.split].shards[row.shard].file), "rb") as file:
            file.seek(row.offset + 12)
            assert Path(given["images_dir"], f"{row.id}.jpg").read_bytes() in file.read(row.length)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_prepare_with_other_workers_and_places_leaves_the_same_bytes(given, tmp_path, workers):
    options = {"folds": 3, "hosts": 2, "short_side_px": 16}
    first, _ = run(tmp_path / "one", workers=3, **options, **given)
    moved = shutil.move(tmp_path / "in", tmp_path / "elsewhere")
    for file in Path(moved, "images").iterdir():
        os.utime(file, (1, 1))
    given = {name: path.replace("/in/", "/elsewhere/") for name, path in given.items()}
    second, _ = run(tmp_path / "two" / "deep", workers=workers, **options, **given)
    assert digests(first) == digests(second)
    assert len(load_manifest(first).splits["fold0"].shards) == 2


def test_prepare_of_a_finished_dataset_says_so_and_rewrites_nothing(given, tmp_path):
    directory, _ = run(tmp_path / "out", **given)
    before = {file: file.stat().st_mtime_ns for file in Path(directory).iterdir()}
    again, said = run(tmp_path / "out", **given)
    assert again == directory
    assert said[-1] == f"finished already, nothing to do: {directory}"
    assert {file: file.stat().st_mtime_ns for file in Path(directory).iterdir()} == before


def test_prepare_with_overwrite_replaces_a_finished_dataset(given, tmp_path):
    directory, _ = run(tmp_path / "out", **given)
    again, _ = run(tmp_path / "out", seed=1, overwrite=True, **given)
    fresh, _ = run(tmp_path / "fresh", seed=1, **given)
    assert again == directory and digests(directory) == digests(fresh)


def test_prepare_of_many_and_of_soft_labels_keeps_them_in_the_records(tmp_path):
    given = make_input(tmp_path / "in", rows=6, test_rows=1)
    names = [("image", "labels"), *((f"a{at:03d}", "b a" if at % 2 else "a") for at in range(6))]
    names.append(("t000", "b"))
    many = {**given, "csv": write_csv(tmp_path / "many.csv", names), "test_csv": None}
    manifest = load_manifest(run(tmp_path / "many", **many)[0])
    assert manifest.task == "multi_label" and manifest.splits["train"].class_counts == (6, 4)
    soft = [("image_id", "x", "y"), *((f"a{at:03d}", 0.25, 0.75) for at in range(6))]
    soft = {**given, "csv": write_csv(tmp_path / "soft.csv", soft)}
    records = load_records(run(tmp_path / "soft", **soft)[0])
    np.testing.assert_array_equal(records["target"][0], [0.25, 0.75])


def test_prepare_with_groups_and_one_split_says_that_groups_do_nothing(given, tmp_path):
    rows = list(csv.reader(open(given["csv"])))
    given["csv"] = write_csv(given["csv"], [(*row, "plant") for row in rows])
    _, said = run(tmp_path / "out", group_column="plant", **given)
    assert any(line.startswith("--group_column does nothing without --folds") for line in said)


def test_prepare_with_a_name_of_tfds_is_refused(given, tmp_path):
    with pytest.raises(OrchardError, match="--name=mnist is the name of a dataset of TFDS"):
        run(tmp_path / "out", **{**given, "name": "mnist"})
    with pytest.raises(OrchardError, match="--name=Plants: use lower-case"):
        config(tmp_path, **{**given, "name": "Plants"})


def test_prepare_leaves_a_dataset_that_tfds_loads_without_our_code(given, tmp_path):
    prepare(config(tmp_path / "out", folds=3, **given), log=lambda line: None)
    program = """
import sys, tensorflow_datasets as tfds
dataset = tfds.load("clothes", data_dir=sys.argv[1], split="fold0+fold1", as_supervised=True)
images = [(image.shape, int(label)) for image, label in dataset]
info = tfds.builder_from_directory(sys.argv[1] + "/clothes/1.0.0").info
test = list(tfds.load("clothes", data_dir=sys.argv[1], split="test"))
assert "data_prep" not in sys.modules
print(len(images), sorted({label for _, label in images}), info.features["label"].names,
      info.supervised_keys, [int(one["label"]) for one in test])
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert result.stdout.split("\n")[-2] == (
        "8 [0, 1, 2] ['bag', 'coat', 'shirt'] ('image', 'label') [-1, -1, -1]"
    ), result.stderr


def test_prepare_with_a_split_column_takes_its_splits(given, tmp_path):
    del given["test_csv"]
    ids = [f"a{row:03d}" for row in range(12)]
    splits = ["train"] * 8 + ["valid"] * 2 + ["test"] * 2
    rows = zip(ids, ["bag", "coat"] * 6, splits, strict=True)
    given["csv"] = write_csv(tmp_path / "split.csv", [("image_id", "label", "part"), *rows])
    directory, said = run(tmp_path / "out", **given, split_column="part")
    manifest = load_manifest(directory)
    assert {name: split.num_records for name, split in manifest.splits.items()} == {
        "train": 8,
        "eval": 2,
        "test": 2,
    }
    assert not manifest.splits["test"].labelled and manifest.splits["eval"].labelled
    assert manifest.settings["split_column"] == "part"
    records = load_records(directory).set_index("id")["split"]
    assert [records[image_id] for image_id in ids] == ["train"] * 8 + ["eval"] * 2 + ["test"] * 2


def test_prepare_with_a_split_column_counts_duplicates_across_splits(given, tmp_path):
    del given["test_csv"]
    images = Path(given["images_dir"])
    shutil.copy(images / "a000.jpg", images / "a001.jpg")
    rows = [(f"a{row:03d}", "bag", row % 3) for row in range(9)]
    given["csv"] = write_csv(tmp_path / "fold.csv", [("image_id", "label", "fold"), *rows])
    directory, said = run(tmp_path / "out", **given, split_column="fold")
    assert list(load_manifest(directory).splits) == ["fold0", "fold1", "fold2"]
    (line,) = [line for line in said if "identical" in line]
    assert "1 of them across splits, as --split_column has it; first: 'a000' and 'a001'" in line


@pytest.mark.parametrize("other", [{"folds": 2}, {"eval_fraction": 0.5}, {"group_column": "g"}])
def test_prepare_with_a_split_column_and_other_splits_is_refused(given, tmp_path, other):
    del given["test_csv"]
    with pytest.raises(OrchardError, match=f"excludes --{next(iter(other))}"):
        run(tmp_path / "out", **given, split_column="part", **other)


def test_prepare_of_files_with_several_endings_takes_them_and_counts(given, tmp_path):
    images = Path(given["images_dir"])
    for name in ("a001", "a003"):
        Image.open(images / f"{name}.jpg").save(images / f"{name}.png")
        (images / f"{name}.jpg").unlink()
    (images / "a005.jpg").rename(images / "a005.JPG")
    directory, said = run(tmp_path / "out", **given)
    assert (
        "train.csv: 3 ids taken for files of other names, the first 'a001' for 'a001.png'" in said
    )
    files = load_records(directory).set_index("id")["source_file"]
    assert (files["a000"], files["a001"], files["a005"]) == ("a000.jpg", "a001.png", "a005.JPG")


def test_prepare_of_links_out_of_the_folder_needs_the_flag(given, tmp_path):
    images, store = Path(given["images_dir"]), tmp_path / "store"
    store.mkdir()
    for file in list(images.iterdir()):
        file.rename(store / file.name)
        file.symlink_to(store / file.name)
    with pytest.raises(OrchardError, match="leads out.*--follow_symlinks"):
        run(tmp_path / "out", **given)
    directory, _ = run(tmp_path / "out", **given, follow_symlinks=True)
    assert len(load_records(directory)) == 15


def test_prepare_of_files_in_a_sub_folder_says_where_they_are(given, tmp_path):
    parent = str(Path(given["images_dir"]).parent)
    with pytest.raises(OrchardError, match=f"found in images/a000.jpg: pass --images_dir={parent}"):
        run(tmp_path / "out", **{**given, "images_dir": parent, "test_csv": None})


def test_prepare_of_a_csv_with_an_index_ignores_it(given, tmp_path):
    rows = list(csv.reader(open(given["csv"])))
    indexed = [["", *rows[0]], *([n, *row] for n, row in enumerate(rows[1:]))]
    given["csv"] = write_csv(tmp_path / "indexed.csv", indexed)
    directory, said = run(tmp_path / "out", **given)
    assert "indexed.csv: ignored columns (unnamed)" in said
    assert load_manifest(directory).class_names == CLASSES


@pytest.mark.parametrize("name", ["id", "index"])
def test_prepare_of_row_numbers_as_ids_names_the_column_of_files(given, tmp_path, name):
    rows = list(csv.reader(open(given["csv"])))[1:]
    numbered = [(n, label, image_id) for n, (image_id, label) in enumerate(rows)]
    given["csv"] = write_csv(tmp_path / "n.csv", [(name, "label", "photo"), *numbered])
    with pytest.raises(OrchardError, match="'photo' has the names of images.*=photo"):
        run(tmp_path / "out", **given)


@pytest.mark.parametrize("splits, fold", [(("fold0", "fold1"), "0"), (("train", "eval"), "")])
def test_next_command_is_one_that_the_trainer_takes(splits, fold):
    words = shlex.split(next_command("data/my leaves/1.0.0", splits))
    assert words[:3] == ["python", "-m", "trainer.main"]
    values = dict(word.removeprefix("--").split("=", 1) for word in words[3:])
    config = TrainConfig(**values)
    assert (config.dataset, config.fold) == ("data/my leaves/1.0.0", fold)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ({"folds": 3}, ["fold0", "fold1", "fold2", "holdout", "test"]),
        ({"eval_fraction": 0.25}, ["train", "eval", "holdout", "test"]),
        ({}, ["train", "holdout", "test"]),
    ],
)
def test_prepare_with_a_holdout_keeps_a_labeled_share_out_of_all_else(
    given, tmp_path, flags, names
):
    directory, _ = run(tmp_path / "out", **given, **flags, holdout_fraction=0.25)
    manifest = load_manifest(directory)
    assert list(manifest.splits) == names
    assert manifest.splits["holdout"].num_records == 3 and manifest.splits["holdout"].labelled
    if "eval_fraction" in flags:
        assert manifest.splits["eval"].num_records == 3
    records = load_records(directory)
    assert records["id"].is_unique and len(records) == 15
    assert set(load_holdout_classes(records)) == {0, 1, 2}


def load_holdout_classes(records):
    return np.stack(records[records["split"] == "holdout"]["target"].tolist()).argmax(1).tolist()


def test_prepare_with_a_time_column_holds_the_latest_out_and_says_from_when(given, tmp_path):
    del given["test_csv"]
    rows = [
        (f"a{row:03d}", "bag" if row % 2 else "coat", f"2024-05-{row + 1:02d}") for row in range(12)
    ]
    given["csv"] = write_csv(tmp_path / "dated.csv", [("image_id", "label", "taken"), *rows[::-1]])
    directory, said = run(
        tmp_path / "out", **given, time_column="taken", eval_fraction=0.25, holdout_fraction=0.25
    )
    split = load_records(directory).set_index("id")["split"]
    assert [split[row[0]] for row in rows] == ["train"] * 6 + ["eval"] * 3 + ["holdout"] * 3
    assert "split eval: 3 rows, 2024-05-07 to 2024-05-09" in said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"time_column": "label"}, "orders splits, and there is only one: add --eval_fraction"),
        ({"fold_repeats": 2}, "--fold_repeats=2 needs --folds"),
        ({"fold_repeats": 2, "folds": 2, "time_column": "label"}, "no --time_column"),
        ({"eval_fraction": 0.5, "holdout_fraction": 0.5}, "leave nothing to train on"),
        ({"split_column": "part", "holdout_fraction": 0.5}, "excludes --holdout_fraction"),
        ({"time_column": "when", "folds": 2}, "has no column 'when' .--time_column."),
    ],
)
def test_prepare_with_splits_that_contradict_each_other_is_refused(given, tmp_path, flags, words):
    if "split_column" in flags:
        del given["test_csv"]
    with pytest.raises(OrchardError, match=words):
        run(tmp_path / "out", **given, **flags)
    assert not (tmp_path / "out").exists()


def test_prepare_with_fold_repeats_deals_the_rows_out_anew_each_time(given, tmp_path):
    plain, _ = run(tmp_path / "plain", **given, folds=3)
    directory, _ = run(tmp_path / "out", **given, folds=3, fold_repeats=3)
    records = load_records(directory)
    for column in ("id", "split", "offset"):
        assert records[column].tolist() == load_records(plain)[column].tolist()
    repeats = np.stack(records["repeat_folds"].tolist())
    labeled = (records["split"] != "test").to_numpy()
    assert repeats.shape == (15, 2) and (repeats[~labeled] == -1).all()
    for column in repeats[labeled].T:
        assert np.bincount(column).tolist() == [4, 4, 4]
    first = records["split"][labeled].str[4:].astype(int).to_numpy()
    assert len({tuple(column) for column in (first, *repeats[labeled].T)}) == 3


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_prepare_of_another_table_gives_the_records_of_the_csv(given, tmp_path, ending):
    import pandas as pd

    table = pd.read_csv(given["csv"], dtype=str)
    path = str(tmp_path / f"train{ending}")
    if ending == ".parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True)
    one, _ = run(tmp_path / "one", folds=3, **given)
    other, said = run(tmp_path / "two", folds=3, **{**given, "csv": path})
    assert said[0].startswith(f"train{ending}: 12 rows, ids in column 'image_id'")
    columns = ["id", "split", "offset", "image_crc32c"]
    assert load_records(one)[columns].equals(load_records(other)[columns])
