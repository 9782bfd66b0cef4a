"""The dataset card: what is in a dataset, at a glance, in one HTML file."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from data_prep import html, storage, tfrecord
from data_prep.config import PrepConfig
from data_prep.manifest import Manifest
from data_prep.plan import Plan
from data_prep.planner import Assignment
from data_prep.shard import Receipt
from data_prep.survey import Survey

_MAX_PICTURES = 160
_MAX_PICTURES_PER_CLASS = 6
_THUMBNAIL_PX = 208  # twice what the page shows, for fine displays
_THUMBNAIL_QUALITY = 80
_MAX_ROWS = 50


def description(manifest: Manifest) -> str:
    """The dataset's description in TFDS's metadata."""
    return (
        f"{manifest.name} {manifest.version}: {len(manifest.class_names)} classes, "
        f"{manifest.task}; prepared "
        f"by Orchard from a label CSV and a folder of images. Fingerprint {manifest.fingerprint}."
    )


def card(
    config: PrepConfig,
    manifest: Manifest,
    surveys: Sequence[Survey],
    assignment: Assignment,
    plan: Plan,
    receipts: Sequence[Receipt],
) -> bytes:
    """The card's HTML; depends on the dataset alone, like every other file in it."""
    page = html.render(
        "data_prep/report.html",
        manifest=manifest,
        command=canonical_command(config),
        splits=_split_rows(manifest),
        balance=_balance(manifest),
        sizes=_sizes(surveys),
        kinds=_kinds(surveys),
        groups=_duplicate_rows(assignment, surveys, assignment.identical),
        near_groups=_duplicate_rows(assignment, surveys, assignment.near),
        across=[
            (surveys[0].table.ids[one], surveys[1].table.ids[other])
            for one, other in assignment.identical_across
        ],
        near_duplicates=config.near_duplicates,
        problems=[problem for survey in surveys for problem in survey.problems],
        pictures=_pictures(manifest, plan, receipts),
        max_rows=_MAX_ROWS,
    )
    return page.encode()


def canonical_command(config: PrepConfig) -> str:
    """The command that makes the same bytes, without paths: the literal one is in run_log.json."""
    parts = ["python -m data_prep.main", "--csv=CSV", "--images_dir=IMAGES", "--data_dir=DATA"]
    if config.test_csv:
        parts.append("--test_csv=TEST_CSV")
    parts += [f"--name={config.name}", f"--version={config.version}"]
    defaults = PrepConfig("x", "x", "x", "1.0.0", "x").settings()
    for name, value in config.settings().items():
        if value == defaults[name]:
            continue
        flag = name.removesuffix("_px")
        if isinstance(value, bool):
            parts.append(f"--{flag}")
        else:
            text = ",".join(value) if isinstance(value, list) else str(value)
            parts.append(f"--{flag}={_quoted(text)}")
    return " \\\n    ".join(parts)


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _split_rows(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "records": split.num_records,
            "shards": len(split.shards),
            "bytes": sum(shard.num_bytes for shard in split.shards),
            "labelled": split.labelled,
        }
        for name, split in manifest.splits.items()
    ]


def _balance(manifest: Manifest) -> list[dict[str, Any]]:
    labelled = {name: split for name, split in manifest.splits.items() if split.labelled}
    totals = np.sum([split.class_counts for split in labelled.values()], axis=0)
    records = sum(split.num_records for split in labelled.values())
    return [
        {
            "name": name,
            "total": float(totals[at]),
            "share": 100 * totals[at] / records,
            "bar": 100 * totals[at] / (totals.max() or 1),
            "counts": [split.class_counts[at] for split in labelled.values()],
        }
        for at, name in enumerate(manifest.class_names)
    ]


def _usable_facts(surveys: Sequence[Survey]) -> np.ndarray:
    return np.concatenate([survey.facts[survey.usable] for survey in surveys])


def _sizes(surveys: Sequence[Survey]) -> dict[str, Any]:
    facts = _usable_facts(surveys)
    common = Counter(zip(facts["width_px"].tolist(), facts["height_px"].tolist(), strict=True))
    pixels = facts["width_px"].astype(np.int64) * facts["height_px"]
    smallest, largest = facts[int(pixels.argmin())], facts[int(pixels.argmax())]
    return {
        "common": sorted(common.items(), key=lambda item: (-item[1], item[0]))[:10],
        "distinct": len(common),
        "smallest": (int(smallest["width_px"]), int(smallest["height_px"])),
        "largest": (int(largest["width_px"]), int(largest["height_px"])),
        "median_bytes": float(np.median(facts["num_bytes"])),
        "max_bytes": int(facts["num_bytes"].max()),
    }


def _kinds(surveys: Sequence[Survey]) -> list[tuple[str, int, int]]:
    """(kind, files, of them re-encoded)."""
    facts = _usable_facts(surveys)
    kinds = Counter(facts["kind"].tolist())
    encoded = Counter(facts["kind"][facts["reencode"]].tolist())
    return [(kind, count, encoded[kind]) for kind, count in kinds.most_common()]


def _duplicate_rows(
    assignment: Assignment, surveys: Sequence[Survey], groups: Sequence[np.ndarray]
) -> list[dict[str, Any]]:
    table = surveys[0].table
    split_of = {
        row: split
        for split, rows in assignment.splits.items()
        if split != "test"
        for row in rows.tolist()
    }
    return [
        {
            "ids": [table.ids[row] for row in group],
            "split": split_of[int(group[0])],
            "conflict": len({table.targets[row].tobytes() for row in group}) > 1,
        }
        for group in groups
    ]


def _pictures(
    manifest: Manifest, plan: Plan, receipts: Sequence[Receipt]
) -> list[tuple[str, list[dict[str, str]]]]:
    """The first records of each class, as thumbnails."""
    names = manifest.class_names[:_MAX_PICTURES]
    per_class = min(_MAX_PICTURES_PER_CLASS, _MAX_PICTURES // len(names))
    wanted: list[list[str]] = [[] for _ in names]
    ranges: list[tuple[str, int, int]] = []
    for shard, receipt in enumerate(receipts):
        rows = plan.shards[shard]
        if rows.split == "test" or len(ranges) == len(names) * per_class:
            continue
        ends = np.cumsum(np.asarray(receipt.lengths) + tfrecord.FRAME_OVERHEAD_BYTES)
        for position, at in enumerate(rows.targets.argmax(1).tolist()):
            unwanted = at >= len(names) or len(wanted[at]) == per_class
            if unwanted or rows.targets[position, at] < 0.5:
                continue
            length = receipt.lengths[position] + tfrecord.FOOTER_BYTES
            file = storage.join(plan.files_dir, receipt.file)
            ranges.append((file, int(ends[position]) - length, length))
            wanted[at].append(rows.ids[position])
    uris = {}
    # Read together, since on gs:// each is a request.
    for payload in storage.read_ranges(ranges, tfrecord.is_intact):
        example = tfrecord.decode_example(payload[: -tfrecord.FOOTER_BYTES])
        (image_id,), (jpeg,) = example["image_id"], example["image"]
        uris[image_id.decode()] = html.image_to_uri(_thumbnail(jpeg))
    return [
        (name, [{"id": image_id, "uri": uris[image_id]} for image_id in ids])
        for name, ids in zip(names, wanted, strict=True)
        if ids
    ]


def _thumbnail(jpeg: bytes) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as image:
        # An eighth of a photo is decoded in a fraction of the time, and is enough.
        image.draft("RGB", (_THUMBNAIL_PX // 2, _THUMBNAIL_PX // 2))
        small = image.convert("RGB")
        small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY)
    return buffer.getvalue()
