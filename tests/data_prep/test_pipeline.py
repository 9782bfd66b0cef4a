"""One dataset from beginning to end, as `prepare` leaves it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data_prep.pipeline import prepare
from data_prep.publish.local_staging import LocalStaging
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats.manifest import load_manifest, load_records
from tests.data_prep.builders import (
    CLASSES,
    config,
    digests,
    interrupted,
    jpeg,
    make_input,
    pillow_bytes,
    pixels,
    rotated_jpeg,
    run,
    write_csv,
)


@pytest.fixture
def given(tmp_path):
    return make_input(tmp_path / "in")


def command(data_dir, *more, **settings):
    flags = {"name": "clothes", "version": "1.0.0", "workers": 2, "data_dir": data_dir, **settings}
    return [
        sys.executable,
        "-m",
        "data_prep.main",
        *(f"--{name}={value}" for name, value in flags.items()),
        *more,
    ]


def fill_disk(monkeypatch):
    """Leave no room for a spool: images are read twice."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))


def test_every_row_is_a_record_of_its_own_bytes(given, tmp_path):
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
def test_the_bytes_do_not_depend_on_workers_or_places(given, tmp_path, workers):
    options = {"folds": 3, "hosts": 2, "short_side_px": 16}
    first, _ = run(tmp_path / "one", workers=3, **options, **given)
    moved = shutil.move(tmp_path / "in", tmp_path / "elsewhere")
    for file in Path(moved, "images").iterdir():
        os.utime(file, (1, 1))
    given = {name: path.replace("/in/", "/elsewhere/") for name, path in given.items()}
    second, _ = run(tmp_path / "two" / "deep", workers=workers, **options, **given)
    assert digests(first) == digests(second)
    assert len(load_manifest(first).splits["fold0"].shards) == 2


def test_the_spool_changes_no_byte(given, tmp_path, monkeypatch):
    first, _ = run(tmp_path / "one", **given)
    fill_disk(monkeypatch)
    second, _ = run(tmp_path / "two", **given)
    assert digests(first) == digests(second)


def test_a_second_run_says_so_and_rewrites_nothing(given, tmp_path):
    directory, _ = run(tmp_path / "out", **given)
    before = {file: file.stat().st_mtime_ns for file in Path(directory).iterdir()}
    again, said = run(tmp_path / "out", **given)
    assert again == directory
    assert said[-1] == f"finished already, nothing to do: {directory}"
    assert {file: file.stat().st_mtime_ns for file in Path(directory).iterdir()} == before


def test_overwrite_replaces_a_finished_dataset(given, tmp_path):
    directory, _ = run(tmp_path / "out", **given)
    again, _ = run(tmp_path / "out", seed=1, overwrite=True, **given)
    fresh, _ = run(tmp_path / "fresh", seed=1, **given)
    assert again == directory and digests(directory) == digests(fresh)


def test_whole_shards_of_an_interrupted_run_stay(given, tmp_path, monkeypatch):
    staging = interrupted(tmp_path / "out", monkeypatch, folds=3, **given)
    assert not os.path.exists(staging.final_dir)
    shards = {file: file.stat().st_ino for file in Path(staging.files_dir).glob("*.tfrecord-*")}
    assert len(shards) == 4
    cut, flipped, stranger = sorted(shards)[:3]
    cut.write_bytes(cut.read_bytes()[:-5])
    flipped.write_bytes(flipped.read_bytes()[:50] + b"x" + flipped.read_bytes()[51:])
    receipt = Path(staging.receipts_dir, stranger.name + ".json")
    receipt.write_text(receipt.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    (Path(staging.files_dir) / "clothes-train.tfrecord-00000-of-00009").write_bytes(b"old plan")
    directory, said = run(tmp_path / "out", folds=3, **given)
    assert "1 of 4 shards are there already and undamaged" in said
    fresh, _ = run(tmp_path / "fresh", folds=3, **given)
    assert digests(directory) == digests(fresh)
    kept = sorted(shards)[3]
    assert os.stat(Path(directory, kept.name)).st_ino == shards[kept]


def test_shards_that_another_version_encoded_are_written_again(given, tmp_path, monkeypatch):
    Path(given["images_dir"], "a001.jpg").write_bytes(rotated_jpeg(6))
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.plan.build.deciding_versions", lambda: {"simplejpeg": "0.1"})
        interrupted(tmp_path / "out", patch, folds=3, **given)
    directory, said = run(tmp_path / "out", folds=3, **given)
    assert "3 of 4 shards are there already and undamaged" in said
    assert digests(directory) == digests(run(tmp_path / "fresh", folds=3, **given)[0])


@pytest.mark.parametrize("csv_flag", ["csv", "test_csv"])
def test_an_image_in_the_place_of_the_header_is_refused(given, tmp_path, csv_flag):
    path = Path(given[csv_flag])
    path.write_text(path.read_text().partition("\n")[2])
    first = {"csv": "a000", "test_csv": "t000"}[csv_flag]
    with pytest.raises(OrchardError, match=f"row 1: '{first}' is an image .{first}.jpg."):
        run(tmp_path / "out", **given)


def test_a_file_called_like_a_usual_header_or_a_wanted_one_is_in_nobodys_way(given, tmp_path):
    Path(given["images_dir"], "image_id.jpg").write_bytes(jpeg(1))
    one, _ = run(tmp_path / "out", **given)
    Path(given["images_dir"], "photo.jpg").write_bytes(jpeg(1))
    for flag in ("csv", "test_csv"):
        path = Path(given[flag])
        path.write_text(path.read_text().replace("image_id", "photo"))
    two, _ = run(tmp_path / "two", image_column="photo", **given)
    assert [len(load_records(directory)) for directory in (one, two)] == [15, 15]


def test_an_image_that_changes_during_the_run_stops_it(given, tmp_path, monkeypatch):
    fill_disk(monkeypatch)
    images = Path(given["images_dir"])
    shutil.copy(images / "a000.jpg", images / "a001.jpg")

    def change_image(line):
        # Said when all images were checked and none is written.
        if "identical images" in line:
            (images / "a002.jpg").write_bytes(jpeg(99))

    with pytest.raises(OrchardError, match="row 4, 'a002.jpg': the file changed while"):
        prepare(config(tmp_path / "out", **given), change_image)
    assert not (tmp_path / "out" / "clothes").exists()


def test_a_second_writer_is_refused_in_one_line(given, tmp_path):
    staging = LocalStaging(str(tmp_path / "out"), "clothes", "1.0.0")
    with staging.lock():
        with pytest.raises(
            OrchardError, match=f"being written by another process .pid {os.getpid()}"
        ):
            run(tmp_path / "out", **given)
    run(tmp_path / "out", **given)


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


def test_bad_rows_stop_the_run_before_anything_is_written(bad, tmp_path):
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


def test_bad_rows_are_left_out_and_counted_when_told_so(bad, given, tmp_path):
    directory, said = run(tmp_path / "out", on_bad="skip", **bad)
    assert "left out 7 bad rows, kept 15 (--on_bad=skip)" in said
    assert "missing image: 1" in said
    assert "  train.csv, row 14, 'missing': no file 'missing.jpg'" in said
    assert len(load_records(directory)) == 15
    assert len(list(csv.reader(open(Path(directory, "quarantine.csv"))))) == 8
    assert load_manifest(directory).inputs["csv"]["rows_left_out"] == 7
    card = Path(directory, "report.html").read_text()
    assert "&#39;missing.jpg&#39;" in card


def test_bad_rows_leave_the_same_bytes_whatever_the_csvs_are_called(bad, tmp_path):
    damaged = b"\x89PNG\r\n\x1a\n" + b"\xff" * 80 + b"IEND\xaeB`\x82"
    Path(bad["images_dir"], "cut.jpg").write_bytes(damaged)
    one = run(tmp_path / "one", on_bad="skip", **bad)[0]
    shutil.move(bad["csv"], tmp_path / "other.csv")
    two = run(tmp_path / "two", on_bad="skip", **{**bad, "csv": str(tmp_path / "other.csv")})[0]
    assert digests(one) == digests(two)
    assert {row["file"] for row in csv.DictReader(open(Path(one, "quarantine.csv")))} == {"csv"}


def test_a_test_csv_without_a_usable_row_is_told_as_such(given, tmp_path):
    given["test_csv"] = write_csv(given["test_csv"], [("image_id",), ("nowhere",)])
    with pytest.raises(OrchardError, match="'test' would be empty; no row of --test_csv is usable"):
        run(tmp_path / "out", on_bad="skip", **given)


def test_ten_problems_of_a_kind_are_named_and_all_counted(given, tmp_path):
    rows = [("image_id", "label"), ("a000", "bag"), *((f"m{n}", "bag") for n in range(25))]
    given["csv"] = write_csv(given["csv"], rows)
    _, said = run(tmp_path / "out", on_bad="skip", **given)
    assert "missing image: 25" in said and "  and 15 more" in said
    assert sum("'m" in line for line in said) == 10


def test_ids_of_one_file_and_ids_in_both_csvs_are_duplicates(given, tmp_path):
    rows = [*csv.reader(open(given["csv"])), ("a001.jpg", "bag")]
    given["csv"] = write_csv(given["csv"], rows)
    given["test_csv"] = write_csv(given["test_csv"], [("image_id",), ("t000",), ("a003",)])
    with pytest.raises(OrchardError, match="2 bad rows .2 duplicate id.*file of row 3 too"):
        run(tmp_path / "out", **given)
    _, said = run(tmp_path / "out", on_bad="skip", **given)
    assert any(
        "test.csv, row 3, 'a003': the labelled CSV has it too, in row 5" in line for line in said
    )


def test_nothing_left_is_an_error_even_when_skipping(given, tmp_path):
    given["csv"] = write_csv(given["csv"], [("image_id", "label"), ("m", "bag")])
    with pytest.raises(OrchardError, match="no labelled row is left"):
        run(tmp_path / "out", on_bad="skip", **given)


def test_pixels_that_nobody_asked_to_check_keep_no_card_from_being_made(given, tmp_path):
    path = Path(given["images_dir"]) / "a000.jpg"
    data = path.read_bytes()
    start = data.index(b"\xff\xda")
    path.write_bytes(data[: start + 2] + data[-2:])
    directory, _ = run(tmp_path / "out", **given)
    assert "report.html" in digests(directory)


def test_a_dataset_is_on_the_disk_for_good_before_it_appears(given, tmp_path, monkeypatch):
    flushed, sync, rename = set(), storage.sync, os.rename
    at_rename = []

    def note(path):
        flushed.add(os.path.basename(path))
        sync(path)

    def note_rename(source, target):
        at_rename.append(set(flushed))
        rename(source, target)

    monkeypatch.setattr(storage, "sync", note)
    monkeypatch.setattr(os, "rename", note_rename)
    directory, _ = run(tmp_path / "out", **given)
    assert at_rename[-1] == {"files", *os.listdir(directory)}


def test_the_decode_check_refuses_what_would_break_in_training(given, tmp_path):
    data = bytearray(jpeg(1, 200, 200))
    data[len(data) // 2 : -2] = b"\x00" * (len(data) - 2 - len(data) // 2)
    Path(given["images_dir"], "a004.jpg").write_bytes(bytes(data))
    with pytest.raises(OrchardError, match="1 undecodable image.*'a004'"):
        run(tmp_path / "out", decode_check=True, **given)


def test_a_conversion_that_fails_names_row_and_way_out(given, tmp_path):
    data = bytearray(jpeg(1, 200, 200))
    data[len(data) // 2 : -2] = b"\x00" * (len(data) - 2 - len(data) // 2)
    Path(given["images_dir"], "a004.jpg").write_bytes(bytes(data))
    # The sample that estimates sizes would find it in so small a set.
    with pytest.raises(OrchardError, match="a004"):
        run(tmp_path / "out", short_side_px=50, **given)
    assert not (tmp_path / "out" / "clothes").exists()


def test_every_kind_of_image_becomes_a_jpeg_and_is_counted(given, tmp_path):
    from PIL import Image

    images = Path(given["images_dir"])
    picture = Image.fromarray(pixels(7))
    (images / "a000.jpg").write_bytes(pillow_bytes(picture, "PNG"))
    (images / "a001.jpg").write_bytes(rotated_jpeg(6))
    (images / "a002.jpg").write_bytes(pillow_bytes(picture.convert("CMYK"), "JPEG"))
    (images / "a003.webp").write_bytes(pillow_bytes(picture, "WEBP"))
    text = Path(given["csv"]).read_text().replace("a003,", "a003.webp,")
    Path(given["csv"]).write_text(text)
    directory, _ = run(tmp_path / "out", **given)
    card = Path(directory, "report.html").read_text()
    for kind in ("PNG", "WEBP", "CMYK JPEG", "rotated JPEG"):
        assert f"<tr><td>{kind}</td>" in card
    from data_prep.verification.audit import audit_dataset

    audit_dataset(directory, workers=1, decode_check=True)


def test_identical_images_stay_in_one_fold_and_are_told(given, tmp_path):
    images = Path(given["images_dir"])
    for other in ("a004", "a008"):
        shutil.copy(images / "a000.jpg", images / f"{other}.jpg")
    shutil.copy(images / "a001.jpg", images / "t001.jpg")
    directory, said = run(tmp_path / "out", folds=3, **given)
    splits = load_records(directory).set_index("id")["split"]
    assert splits["a000"] == splits["a004"] == splits["a008"]
    assert any(line.startswith("3 identical images in 1 group,") for line in said)
    assert any("1 test image with the content of a labelled one" in line for line in said)
    card = Path(directory, "report.html").read_text()
    assert "a000, a004, a008" in card and "t001" in card and "differ" in card


def test_near_duplicates_stay_in_one_fold(given, tmp_path):
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


def test_groups_stay_in_one_fold(given, tmp_path):
    rows = list(csv.reader(open(given["csv"])))
    rows = [(*rows[0], "plant"), *((*row, at % 5) for at, row in enumerate(rows[1:]))]
    given["csv"] = write_csv(given["csv"], rows)
    directory, _ = run(tmp_path / "out", folds=3, group_column="plant", **given)
    splits = load_records(directory).set_index("id")["split"]
    for plant in range(5):
        assert len({splits[f"a{at:03d}"] for at in range(12) if at % 5 == plant}) == 1


def test_rows_without_a_group_are_in_none(given, tmp_path):
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


def test_a_group_column_that_does_nothing_is_told(given, tmp_path):
    rows = list(csv.reader(open(given["csv"])))
    given["csv"] = write_csv(given["csv"], [(*row, "plant") for row in rows])
    _, said = run(tmp_path / "out", group_column="plant", **given)
    assert any(line.startswith("--group_column does nothing without --folds") for line in said)


def test_many_labels_and_soft_labels_reach_the_records(tmp_path):
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


def test_names_of_tfds_and_of_nobody_are_refused(given, tmp_path):
    with pytest.raises(OrchardError, match="--name=mnist is the name of a dataset of TFDS"):
        run(tmp_path / "out", **{**given, "name": "mnist"})
    with pytest.raises(OrchardError, match="--name=Plants: use lower-case"):
        config(tmp_path, **{**given, "name": "Plants"})


def test_a_dataset_of_another_maker_is_not_overwritten(given, tmp_path):
    other = tmp_path / "out" / "clothes" / "1.0.0"
    other.mkdir(parents=True)
    (other / "features.json").write_text("{}")
    with pytest.raises(OrchardError, match="holds no manifest.json"):
        run(tmp_path / "out", **given)
    (other / "features.json").rename(other / "notes.txt")
    for overwrite in (False, True):
        with pytest.raises(OrchardError, match="holds 1 files and no dataset.*'notes.txt'"):
            run(tmp_path / "out", overwrite=overwrite, **given)
    assert (other / "notes.txt").read_text() == "{}"


@pytest.mark.parametrize("file", ["features.json", "manifest.json"])
def test_a_dataset_that_lost_a_file_is_written_again_when_told_so(given, tmp_path, file):
    directory, _ = run(tmp_path / "out", **given)
    whole = digests(directory)
    Path(directory, file).unlink()
    with pytest.raises(OrchardError, match=f"{file}.* --overwrite"):
        run(tmp_path / "out", **given)
    run(tmp_path / "out", overwrite=True, **given)
    assert digests(directory) == whole


def test_the_run_log_alone_knows_paths_and_times(given, tmp_path):
    directory, _ = run(tmp_path / "out", **given)
    log = json.loads(Path(directory, "run_log.json").read_text())
    assert log["config"]["csv"] == given["csv"]
    for file in Path(directory).iterdir():
        if file.name != "run_log.json":
            assert str(tmp_path).encode() not in file.read_bytes()


def test_the_command_ends_in_one_line_and_a_status(given, tmp_path):
    given["csv"] = write_csv(given["csv"], [("image_id", "label"), ("m", "bag")])
    result = subprocess.run(
        command(tmp_path / "out", **given), capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: 1 bad row (1 missing image); the first: train.csv, row 2, 'm'")


def test_another_process_loads_it_without_our_code(given, tmp_path):
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
