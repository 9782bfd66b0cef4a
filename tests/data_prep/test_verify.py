import json
import os
import subprocess
import sys
from pathlib import Path

import google_crc32c
import pyarrow.parquet
import pytest

from data_prep.verification.audit import audit_dataset
from data_prep.verification.trace import trace_image
from orchard.errors import OrchardError
from orchard.formats.manifest import load_manifest, load_records
from tests.data_prep.builders import jpeg, make_input, run

SHARD = "clothes-train.tfrecord-00000-of-00001"


@pytest.fixture
def dataset(tmp_path):
    return Path(run(tmp_path / "out", **make_input(tmp_path / "in"))[0])


def check(dataset, **options):
    return audit_dataset(str(dataset), workers=1, log=lambda line: None, **options)


def test_an_undamaged_dataset_is_counted_split_by_split(dataset):
    reports = check(dataset, decode_check=True)
    assert [(one.name, one.shards, one.records) for one in reports] == [
        ("train", 1, 12),
        ("test", 1, 3),
    ]


def change_bytes(dataset, position, value=b"x"):
    data = (dataset / SHARD).read_bytes()
    (dataset / SHARD).write_bytes(data[:position] + value + data[position + len(value) :])


def forge(dataset, change):
    """Rewrite the first record, with all of its checksums right again."""
    from orchard.formats import tfrecord

    data = (dataset / SHARD).read_bytes()
    length = int(load_records(str(dataset))["length"][0])
    payload = change(data[12 : 12 + length])
    assert len(payload) == length
    crc = google_crc32c.value(payload)
    head, rest = tfrecord.frame_header(length), data[16 + length :]
    (dataset / SHARD).write_bytes(head + payload + tfrecord.frame_footer(crc) + rest)


def edit_json(dataset, file, change):
    value = json.loads((dataset / file).read_text())
    change(value)
    (dataset / file).write_text(json.dumps(value))


def accept(dataset, file):
    """Have the manifest agree with a file as it is now."""
    data = (dataset / file).read_bytes()
    now = {"num_bytes": len(data), "crc32c": google_crc32c.value(data)}
    edit_json(dataset, "manifest.json", lambda manifest: manifest["files"].update({file: now}))


def edit_index(dataset, column, row, value):
    table = load_records(str(dataset))
    table.loc[row, column] = value
    path = dataset / "records.parquet"
    schema = pyarrow.parquet.read_schema(path)
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(table, schema), path)
    accept(dataset, "records.parquet")


def drop_column(dataset):
    path = dataset / "records.parquet"
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).drop(["source_sha256"]), path)
    accept(dataset, "records.parquet")


def swap_label(payload):
    at = payload.index(b"label") + 5
    flipped = bytes([payload[at + 6] ^ 1])
    return payload[: at + 6] + flipped + payload[at + 7 :]


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
            "records.parquet: the id '.*' is there twice",
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
def test_damage_is_named_with_shard_record_and_id(dataset, damage, message):
    damage(dataset)
    with pytest.raises(OrchardError, match=message) as caught:
        check(dataset)
    assert "\n" not in str(caught.value)


def test_a_shard_that_only_its_checksum_gives_away(dataset):
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
def test_a_changed_byte_beside_the_shards_is_found(tmp_path, file):
    given = make_input(tmp_path / "in", rows=3, test_rows=0)
    Path(given["images_dir"], "a001.jpg").unlink()
    dataset = Path(run(tmp_path / "out", on_bad="skip", **{**given, "test_csv": None})[0])
    check(dataset)
    data = (dataset / file).read_bytes()
    (dataset / file).write_bytes(data[:5] + bytes([data[5] ^ 1]) + data[6:])
    with pytest.raises(OrchardError, match=f"{file}: {len(data)} bytes with crc32c .* manifest"):
        check(dataset)


def test_a_dataset_whose_manifest_is_of_shards_alone_is_verified_and_its_user_told(dataset):
    edit_json(dataset, "manifest.json", lambda manifest: manifest.pop("files"))
    said = []
    assert len(audit_dataset(str(dataset), workers=1, log=said.append)) == 2
    assert said[-1].startswith("written before manifests had checksums of the files beside")
    (dataset / "records.parquet").write_bytes(b"PAR1")
    with pytest.raises(OrchardError, match="records.parquet was damaged"):
        check(dataset)


def test_an_id_is_traced_to_its_shard_row_and_file(dataset):
    found = trace_image(str(dataset), "a007")
    lines = dict(found.lines)
    assert lines["split"] == "train" and lines["shard"] == SHARD
    assert lines["CSV row"] == "9" and lines["source file"] == "a007.jpg"
    assert lines["labels"] == "coat"
    assert found.jpeg == jpeg(7, 22, 30)
    records = load_records(str(dataset))
    row = records.index[records["id"] == "a007"][0]
    assert lines["record"] == f"{row} of 12"
    assert lines["byte offset"] == str(records["offset"][row])
    assert dict(trace_image(str(dataset), "t001").lines)["labels"] == "none (unlabelled)"


def test_a_damaged_record_is_named_by_its_place_in_the_shard(dataset):
    offset = int(load_records(str(dataset))["offset"][3])
    image_id = load_records(str(dataset))["id"][3]
    change_bytes(dataset, offset + 300)
    with pytest.raises(OrchardError, match=f"id '{image_id}', record 3 at byte {offset}: .*checks"):
        trace_image(str(dataset), image_id)


def test_an_index_that_names_another_split_than_the_manifest_is_no_traceback(dataset):
    edit_index(dataset, "split", 3, "fold7")
    with pytest.raises(OrchardError, match="split 'fold7'.* which the manifest does not know"):
        trace_image(str(dataset), load_records(str(dataset))["id"][3])


def test_an_unknown_id_is_refused(dataset):
    with pytest.raises(OrchardError, match="no id 'a07'"):
        trace_image(str(dataset), "a07")


def test_the_command_prints_a_table_a_trace_and_a_status(dataset, tmp_path):
    def verify(*flags):
        command = [sys.executable, "-m", "data_prep.verify", f"--dataset={dataset}", *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    result = verify("--workers=1")
    assert (
        result.returncode == 0
        and "undamaged: every checksum of the manifest is right" in result.stdout
    )
    size = sum(shard.num_bytes for shard in load_manifest(str(dataset)).splits["train"].shards)
    assert f"train              1         12 {size / 1000:>9.4g} kB" in result.stdout
    assert verify("--id=a007", f"--output={tmp_path}/x.jpg").returncode == 0
    assert (tmp_path / "x.jpg").read_bytes() == jpeg(7, 22, 30)
    change_bytes(dataset, 300)
    result = verify("--workers=1")
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith(f"error: {SHARD}, record 0")
