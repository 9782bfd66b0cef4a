import os
from pathlib import Path

import pytest

from data_prep.verification.audit import audit_dataset
from orchard.errors import OrchardError
from orchard.formats.manifest import load_records
from tests.data_prep.builders import make_input, run
from tests.data_prep.verification.damage import (
    SHARD,
    accept,
    change_bytes,
    check,
    drop_column,
    edit_index,
    edit_json,
    forge,
    swap_label,
)


def test_audit_of_an_undamaged_dataset_counts_each_split(dataset):
    reports = check(dataset, decode_check=True)
    assert [(one.name, one.shards, one.records) for one in reports] == [
        ("train", 1, 12),
        ("test", 1, 3),
    ]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: change_bytes(d, 300), f"{SHARD}, record 0 at byte 0: .*checksum"),
        (lambda d: change_bytes(d, 0), f"{SHARD}, record 0 .*length does not match"),
        (lambda d: os.truncate(d / SHARD, 5000), f"{SHARD}, record . at byte .*ends inside"),
        (lambda d: os.remove(d / SHARD), f"1 files are missing, the first is {SHARD}"),
        (lambda d: os.truncate(d / SHARD, 0), f"{SHARD} ends after 0 of 12 records.*missing is"),
        (
            lambda d: (d / f"{SHARD}9").write_bytes(b""),
            f"{SHARD}9 is a shard that the manifest does not know",
        ),
        (
            lambda d: forge(d, lambda p: p.replace(b"image_id", b"image_ix")),
            f"{SHARD}, record 0, id '.*': not a tf.train.Example of ours",
        ),
        (
            lambda d: forge(d, lambda p: p.replace(b"\xff\xd8\xff", b"\xff\xd8\xfe")),
            f"{SHARD}, record 0, id '.*': the image does not match its checksum in the index",
        ),
        (lambda d: forge(d, swap_label), f"{SHARD}, record 0, id '.*': labels .* the target says"),
        (
            lambda d: edit_index(d, "id", 0, "a0000"),
            f"{SHARD}, record 0, id 'a0000': the record's id is",
        ),
        (
            lambda d: edit_index(d, "id", 0, load_records(str(d))["id"][1]),
            "records.parquet: the id '.*' appears twice",
        ),
        (
            lambda d: edit_index(d, "offset", 3, 1),
            f"{SHARD}, record 3, .*: lies at byte .*index says 1",
        ),
        (
            lambda d: edit_index(d, "target", 0, [0.5, 0.5, 0]),
            "records.parquet: the labels of split 'train' are not the manifest's",
        ),
        (
            lambda d: edit_json(
                d, "manifest.json", lambda m: m.update(class_names=["a", "b", "c"])
            ),
            "TFDS's metadata has class names",
        ),
        (
            lambda d: (
                edit_json(
                    d, "dataset_info.json", lambda m: m["splits"][0].update(shardLengths=["11"])
                ),
                accept(d, "dataset_info.json"),
            ),
            "dataset_info.json says",
        ),
        (
            lambda d: ((d / "features.json").write_text("{"), accept(d, "features.json")),
            "TFDS cannot read",
        ),
        (lambda d: os.remove(d / "report.html"), "1 files are missing, the first is report.html"),
        (
            lambda d: (os.remove(d / SHARD), os.mkdir(d / SHARD)),
            f"{SHARD}: Is a directory",
        ),
        (
            lambda d: (os.truncate(d / "records.parquet", 500), accept(d, "records.parquet")),
            "records.parquet was damaged .*; run its data_prep.main command .*, with --overwrite",
        ),
        (drop_column, "records.parquet has no column 'source_sha256'"),
        (lambda d: os.remove(d / "features.json"), "incomplete: features.json"),
        (lambda d: os.remove(d / "manifest.json"), "holds no manifest.json"),
        (lambda d: (d / "manifest.json").write_text("{"), "not valid JSON"),
        (
            lambda d: edit_json(d, "manifest.json", lambda m: m.update(files=[1])),
            "manifest.json was damaged or edited",
        ),
        (
            lambda d: edit_json(d, "manifest.json", lambda m: m.update(fingerprint=3)),
            "manifest.json was damaged or edited: .*fingerprint is 3",
        ),
        (
            lambda d: edit_json(d, "manifest.json", lambda m: m.update(schema_version=99)),
            "schema_version is 99",
        ),
    ],
)
def test_audit_of_damage_names_shard_record_and_id(dataset, damage, message):
    damage(dataset)
    with pytest.raises(OrchardError, match=message) as caught:
        check(dataset)
    assert "\n" not in str(caught.value)


def test_audit_of_another_checksum_in_the_manifest_names_the_shard(dataset):
    def other(value):
        value["splits"]["train"]["shards"][0]["crc32c"] ^= 1

    edit_json(dataset, "manifest.json", other)
    with pytest.raises(OrchardError, match=f"{SHARD}: .* bytes with crc32c"):
        check(dataset)


@pytest.mark.parametrize(
    "file",
    [
        "dataset_info.json",
        "features.json",
        "label.labels.txt",
        "quarantine.csv",
        "records.parquet",
        "report.html",
    ],
)
def test_audit_of_a_changed_byte_beside_the_shards_names_the_file(tmp_path, file):
    given = make_input(tmp_path / "in", rows=3, test_rows=0)
    Path(given["images_dir"], "a001.jpg").unlink()
    dataset = Path(run(tmp_path / "out", on_bad="skip", **{**given, "test_csv": None})[0])
    check(dataset)
    data = (dataset / file).read_bytes()
    (dataset / file).write_bytes(data[:5] + bytes([data[5] ^ 1]) + data[6:])
    with pytest.raises(OrchardError, match=f"{file}: {len(data)} bytes with crc32c .* manifest"):
        check(dataset)


def test_audit_of_a_manifest_without_checksums_of_files_says_so_and_goes_on(dataset):
    edit_json(dataset, "manifest.json", lambda manifest: manifest.pop("files"))
    said = []
    assert len(audit_dataset(str(dataset), workers=1, log=said.append)) == 2
    assert said[-1].startswith("written before manifests had checksums of the files beside")
    (dataset / "records.parquet").write_bytes(b"PAR1")
    with pytest.raises(OrchardError, match="records.parquet was damaged"):
        check(dataset)
