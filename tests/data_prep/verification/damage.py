"""Ways to damage a published dataset."""

import json

import google_crc32c
import pyarrow.parquet

from data_prep.verification.audit import audit_dataset
from orchard.formats.manifest import load_records

SHARD = "clothes-train.tfrecord-00000-of-00001"


def check(dataset, **options):
    return audit_dataset(str(dataset), workers=1, log=lambda line: None, **options)


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
