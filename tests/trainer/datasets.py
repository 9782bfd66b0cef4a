"""Small datasets in the format of data_prep, written without it."""

import hashlib
import io
import os
from collections.abc import Sequence

import google_crc32c
import numpy as np
import pandas as pd
from PIL import Image

from orchard import storage
from orchard.formats import manifest as manifests
from orchard.formats import tfrecord


def jpeg(pixels: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **({"quality": 95} | options))
    return buffer.getvalue()


def smooth_image(seed: int, height: int, width: int) -> np.ndarray:
    """A photo-like image: low frequencies, uint8 [height, width, 3]."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def write_dataset(
    directory,
    images: Sequence[bytes],
    labels: Sequence[int],
    *,
    splits: dict[str, Sequence[int]] | None = None,
    num_classes: int = 2,
    shard_records: int = 7,
) -> str:
    """Writes images (record i has id "r<i>") as a dataset; label -1 means unlabeled."""
    directory = str(directory)
    os.makedirs(directory, exist_ok=True)
    rows, infos = [], {}
    for split, members in (splits or {"train": range(len(images))}).items():
        groups = [members[i : i + shard_records] for i in range(0, len(members), shard_records)]
        shards = []
        for number, group in enumerate(groups):
            name = f"tiny-{split}.tfrecord-{number:05d}-of-{len(groups):05d}"
            size = 0
            with open(os.path.join(directory, name), "wb") as file:
                for i in group:
                    target = np.full(num_classes, -1, np.float32)
                    if labels[i] >= 0:
                        target = np.eye(num_classes, dtype=np.float32)[labels[i]]
                    payload = example(images[i], f"r{i}", target, labels[i])
                    rows.append(_row(f"r{i}", split, number, size, payload, images[i], target))
                    size += file.write(frame(payload))
            shards.append(manifests.ShardInfo(name, len(group), size, 0))
        infos[split] = manifests.SplitInfo(tuple(shards), True, (0.0,) * num_classes)
    manifest = manifests.Manifest(
        name="tiny",
        version="1.0.0",
        fingerprint="f00d",
        task="single_label",
        class_names=tuple(f"class{i}" for i in range(num_classes)),
        splits=infos,
        settings={},
        inputs={},
        library_versions={},
    )
    storage.write_json(os.path.join(directory, manifests.MANIFEST_FILE), manifest.to_json())
    pd.DataFrame(rows, columns=manifests.RECORDS_COLUMNS).to_parquet(
        os.path.join(directory, manifests.RECORDS_FILE)
    )
    storage.write_json(os.path.join(directory, manifests.FEATURES_FILE), {})
    return directory


def example(image: bytes, image_id: str, target: np.ndarray, label: int) -> bytes:
    rest = (
        tfrecord.bytes_entry("image_id", image_id.encode())
        + tfrecord.int64_entry("label", [label])
        + tfrecord.float_entry("target", target)
    )
    return tfrecord.example_head("image", len(image), len(rest)) + image + rest


def frame(payload: bytes) -> bytes:
    crc = google_crc32c.value(payload)
    return tfrecord.frame_header(len(payload)) + payload + tfrecord.frame_footer(crc)


def _row(image_id, split, shard, offset, payload, image, target) -> dict:
    return {
        "id": image_id,
        "split": split,
        "shard": np.int32(shard),
        "offset": np.int64(offset),
        "length": np.int32(len(payload)),
        "csv_row": np.int64(int(image_id[1:]) + 2),
        "image_crc32c": np.uint32(google_crc32c.value(image)),
        "target": target,
        "source_file": f"{image_id}.jpg",
        "source_sha256": hashlib.sha256(image).hexdigest(),
    }


def numbered_dataset(directory, count: int, num_classes: int = 10, **options) -> str:
    """Record i is a flat gray 8x8 image of brightness i % 251, labels sorted as data often are."""
    images = [jpeg(np.full((8, 8, 3), i % 251, np.uint8)) for i in range(count)]
    labels = [i * num_classes // count for i in range(count)]
    return write_dataset(directory, images, labels, num_classes=num_classes, **options)
