"""One image of a dataset, traced to its shard, position, CSV row and source file."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

from data_prep.images import ImageOptions, inspect_image, is_image_name
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    DAMAGED,
    Manifest,
    Place,
    load_manifest,
    load_records,
    record_format,
    tfrecord,
)

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Trace:
    """The place and origin of an image, as (what, value) pairs, and its JPEG."""

    lines: tuple[tuple[str, str], ...]
    jpeg: bytes


def trace_image(dataset_dir: str, image_id: str) -> Trace:
    """Find a record by its id and read it.

    Raises:
        OrchardError: there is no such id, or its record is damaged.
    """
    manifest = load_manifest(dataset_dir)
    records = load_records(dataset_dir)
    row = _find(records, image_id, dataset_dir)
    try:
        info = manifest.splits[row["split"]].shards[row["shard"]]
    except (KeyError, IndexError) as error:
        raise OrchardError(
            f"{dataset_dir}: the index has {image_id!r} in split {row['split']!r}, shard "
            f"{row['shard']}, which the manifest does not know; run data_prep.verify without --id"
        ) from error
    position = int(
        ((records["split"] == row["split"]) & (records["shard"] == row["shard"]))[: row.name].sum()
    )
    form = record_format(info.file)
    place = Place(storage.join(dataset_dir, info.file), int(row["offset"]), int(row["length"]))
    (payload,) = form.read_few([place])
    where = f"{info.file}, id {image_id!r}, record {position} at {form.describe(place.offset)}"
    jpeg = _image(payload, where)
    checksum = google_crc32c.value(jpeg)
    if checksum != row["image_crc32c"]:
        raise OrchardError(f"{info.file}, id {image_id!r}: the image does not match its checksum")
    facts = inspect_image(jpeg, ImageOptions())
    lines = (
        ("id", row["id"]),
        ("split", row["split"]),
        ("shard", info.file),
        ("record", f"{position} of {info.num_records}"),
        (form.offset_name, str(row["offset"])),
        ("record bytes", str(row["length"])),
        ("CSV row", str(row["csv_row"])),
        ("labels", _labels(row, manifest.class_names)),
        *_taken_from(manifest, info.file),
        ("image", f"{facts.width_px}x{facts.height_px} JPEG, {len(jpeg)} bytes"),
        ("image crc32c", f"{checksum:08x}"),
        ("source file", row["source_file"]),
        ("source sha256", row["source_sha256"]),
    )
    return Trace(lines, jpeg)


def _taken_from(manifest: Manifest, file: str) -> list[tuple[str, str]]:
    """Where the shard comes from, in a dataset that grew."""
    step = manifest.lineage[-1] if manifest.lineage else None
    if step is None or file not in step.shards:
        return []
    return [("taken from", f"{step.version}, {step.shards[file]}")]


def _find(records: "pandas.DataFrame", image_id: str, dataset_dir: str) -> "pandas.Series":
    found = records[records["id"] == image_id]
    if found.empty:
        # `x` for `x.jpg`, or the reverse, or the name of the file.
        stem = _stem(image_id)
        found = records[records["source_file"] == image_id]
        if found.empty:
            found = records[records["id"].map(_stem) == stem]
        if len(found) > 1:
            ids = ", ".join(map(repr, found["id"].head(3).tolist()))
            raise OrchardError(f"{dataset_dir} has no id {image_id!r}, but {ids}; name one of them")
    if found.empty:
        near = records["id"][records["id"].str.startswith(image_id[:4])].head(3).tolist()
        hint = f"; there are {', '.join(map(repr, near))}" if near else ""
        raise OrchardError(f"{dataset_dir} has no id {image_id!r}{hint}")
    return found.iloc[0]


def _stem(image_id: str) -> str:
    return image_id.rpartition(".")[0] if is_image_name(image_id, "") else image_id


def _image(payload: bytes, where: str) -> bytes:
    if payload == DAMAGED:
        raise OrchardError(f"{where}: the record does not match its checksum")
    try:
        return tfrecord.Example(payload).bytes_of("image")
    except ValueError as error:
        raise OrchardError(f"{where}: the record is damaged ({error})") from error


def _labels(row: "pandas.Series", class_names: tuple[str, ...]) -> str:
    if "target" not in row:
        return class_names[row["label"]] if row["label"] >= 0 else "none (unlabeled)"
    target = np.asarray(row["target"])
    if target[0] < 0:
        return "none (unlabeled)"
    present = [
        name if value == 1 else f"{name} {value:g}"
        for name, value in zip(class_names, target, strict=True)
        if value > 0
    ]
    return ", ".join(present) or "no class"
