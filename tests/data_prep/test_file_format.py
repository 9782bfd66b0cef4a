import subprocess
import sys

import numpy as np
import pytest

from data_prep.dataset import CsvImages
from data_prep.verification.audit import audit_dataset
from data_prep.verification.trace import trace_image
from orchard.errors import OrchardError
from orchard.formats import load_manifest, load_records, record_format
from tests.data_prep.builders import digests, interrupted, jpeg, run

SETTINGS = {"folds": 3, "file_format": "array_record"}


@pytest.fixture
def other(given, tmp_path):
    """The directory of `given` in array_record files."""
    return run(tmp_path / "other", **given, **SETTINGS)[0]


def payloads(directory):
    """Every record, by split."""
    found = {}
    for name, split in load_manifest(directory).splits.items():
        found[name] = []
        for shard in split.shards:
            with open(f"{directory}/{shard.file}", "rb") as file:
                frames = record_format(shard.file).scan(file, shard.file)
                found[name] += [frame.payload for frame in frames]
    return found


def test_array_record_dataset_has_the_records_of_the_tfrecord_one(given, other, tmp_path):
    usual = run(tmp_path / "usual", folds=3, **given)[0]
    assert payloads(other) == payloads(usual)
    ours, theirs = load_records(other), load_records(usual)
    assert ours.drop(columns="offset").to_csv() == theirs.drop(columns="offset").to_csv()
    assert ours["offset"].tolist() == ours.groupby(["split", "shard"]).cumcount().tolist()
    manifest = load_manifest(other)
    assert manifest.fingerprint != load_manifest(usual).fingerprint
    assert manifest.settings["file_format"] == "array_record"
    assert "array_record" in manifest.library_versions
    assert "file_format" not in load_manifest(usual).settings


def test_array_record_interrupted_goes_on_to_equal_bytes(given, other, tmp_path, monkeypatch):
    interrupted(tmp_path / "out", monkeypatch, **given, **SETTINGS)
    directory, said = run(tmp_path / "out", workers=1, **given, **SETTINGS)
    assert "4 of 4 shards are there already and undamaged" in said
    assert digests(directory) == digests(other)


def test_array_record_interrupted_under_another_version_is_written_again(
    given, other, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        versions = {"array_record": "0.1"}
        patch.setattr("data_prep.plan.build.deciding_versions", lambda form: versions)
        interrupted(tmp_path / "out", patch, **given, **SETTINGS)
    directory, said = run(tmp_path / "out", **given, **SETTINGS)
    assert not [line for line in said if "there already" in line]
    assert digests(directory) == digests(other)


def test_array_record_other_form_than_the_finished_one_is_told(given, other, tmp_path):
    with pytest.raises(OrchardError, match="--file_format was array_record, now None"):
        run(tmp_path / "other", folds=3, **given)


def test_verify_array_record_finds_damage_and_names_the_record(other):
    assert sum(split.records for split in audit_dataset(other, workers=1)) == 15
    shard = f"{other}/clothes-fold1.array_record-00000-of-00001"
    with open(shard, "r+b") as file:
        data = file.read()
        at = data.rindex(b"\xff\xd8\xff")
        file.seek(at + 200)
        file.write(bytes([data[at + 200] ^ 1]))
    with pytest.raises(OrchardError, match="fold1.array_record.*, record 3: the record does not"):
        audit_dataset(other, workers=1)
    last = load_records(other).query("split == 'fold1'")["id"].iloc[-1]
    with pytest.raises(OrchardError, match="record 3 at number 3: the record does not match"):
        trace_image(other, last)


def test_verify_array_record_traces_an_image(given, other):
    trace = trace_image(other, "a003")
    with open(f"{given['images_dir']}/a003.jpg", "rb") as file:
        assert trace.jpeg == file.read()


def test_data_source_reads_array_record_without_tensorflow(given, other):
    script = f"""
import sys
import tensorflow_datasets as tfds
source = tfds.data_source("clothes", data_dir={other.removesuffix("/clothes/1.0.0")!r})
print([record["image_id"].decode() for record in source["fold1"]])
print(source["test"][2]["image"].shape, source["test"][2]["label"])
assert "tensorflow" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ids = load_records(other).query("split == 'fold1'")["id"].tolist()
    assert done.stdout.splitlines()[0] == str(ids)
    assert done.stdout.splitlines()[1].endswith("3) -1")


def test_builder_of_array_record_is_a_data_source(given, tmp_path):
    Shirts = CsvImages.define("shirts", workers=1, file_format="array_record", **given)
    builder = Shirts(data_dir=tmp_path / "out")
    with pytest.raises(OrchardError, match="the settings say array_record"):
        builder.download_and_prepare(file_format="tfrecord")
    builder.download_and_prepare(file_format="array_record")
    source = builder.as_data_source(split="train")
    assert len(source) == 12 and source[3]["target"].dtype == np.float32


def test_array_record_dataset_grows_and_keeps_its_form(given, other, tmp_path):
    csv = tmp_path / "more.csv"
    relabeled = open(given["csv"]).read().replace("a003,bag", "a003,coat")
    csv.write_text(relabeled + "new,bag\n")
    with open(f"{given['images_dir']}/new.jpg", "wb") as file:
        file.write(jpeg(99))
    more = given | {"csv": str(csv), "version": "1.1.0", "extends": other}
    with pytest.raises(OrchardError, match="--file_format=array_record"):
        run(tmp_path / "other", folds=3, **more)
    directory = run(tmp_path / "other", **more, **SETTINGS)[0]
    assert sum(split.records for split in audit_dataset(directory, workers=1)) == 16
    records = load_records(directory)
    assert {"a003", "new"} <= set(records["id"])
    for image_id in ("a003", "new"):
        with open(f"{given['images_dir']}/{image_id}.jpg", "rb") as file:
            assert trace_image(directory, image_id).jpeg == file.read()
