"""The dataset card: what is in a dataset, at a glance, in one HTML file."""

import csv
import io
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.checks import Survey, quarantine
from data_prep.config import PrepConfig, default_settings
from data_prep.images import thumbnail
from data_prep.plan import Assignment, Plan
from data_prep.shard import Receipt
from orchard import html, storage
from orchard.formats import Manifest, tfrecord

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
    thumbnails: Mapping[int, Sequence[bytes]],
) -> bytes:
    """The card's HTML; depends on the dataset alone, like every other file in it.

    `thumbnails`: by shard, of its `pictured` records.
    """
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
        problems=quarantine(surveys),
        pictures=_pictures(manifest, plan, thumbnails),
        max_rows=_MAX_ROWS,
    )
    return page.encode()


def canonical_command(config: PrepConfig) -> str:
    """The command that makes the same bytes, without paths: the literal one is in run_log.json."""
    parts = ["python -m data_prep.main", "--csv=CSV", "--images_dir=IMAGES", "--data_dir=DATA"]
    if config.test_csv:
        parts += ["--test_csv=TEST_CSV", "--test_images_dir=TEST_IMAGES"]
    if config.decode_check and config.on_bad == "skip":
        parts.append("--decode_check")  # It decides which rows are left out.
    parts += [f"--name={config.name}", f"--version={config.version}"]
    defaults = default_settings()
    for name, value in config.settings().items():
        if value == defaults[name]:
            continue
        flag = name.removesuffix("_px")
        if isinstance(value, bool):
            parts.append(f"--{flag}")
        else:
            text = _joined(value) if isinstance(value, list) else str(value)
            parts.append(f"--{flag}={shlex.quote(text)}")
    return " \\\n    ".join(parts)


def _joined(items: Sequence[str]) -> str:
    """A list as flags have it: with commas between, and quotes around an item that holds one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(items)
    return text.getvalue()


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


def read_thumbnails(
    plan: Plan, receipts: Mapping[int, Receipt], shards: Sequence[int]
) -> dict[int, tuple[bytes, ...]]:
    """Thumbnails of what `shards`, written by an earlier run, have `pictured`: by shard."""
    ranges = []
    for shard in shards:
        lengths = np.asarray(receipts[shard].lengths)
        ends = np.cumsum(lengths + tfrecord.FRAME_OVERHEAD_BYTES)
        file = storage.join(plan.files_dir, receipts[shard].file)
        for position in plan.shards[shard].pictured:
            length = int(lengths[position]) + tfrecord.FOOTER_BYTES
            ranges.append((file, int(ends[position]) - length, length))
    # Read together, since on gs:// each is a request.
    payloads = iter(storage.read_ranges(ranges, tfrecord.is_intact))
    return {
        shard: tuple(_thumbnail(next(payloads)) for _ in plan.shards[shard].pictured)
        for shard in shards
    }


def _thumbnail(payload_and_footer: bytes) -> bytes:
    (jpeg,) = tfrecord.decode_example(payload_and_footer[: -tfrecord.FOOTER_BYTES])["image"]
    return thumbnail(jpeg)


def _pictures(
    manifest: Manifest, plan: Plan, thumbnails: Mapping[int, Sequence[bytes]]
) -> list[tuple[str, list[dict[str, str]]]]:
    """The first records of each class that has any."""
    shown: dict[str, list[dict[str, str]]] = {name: [] for name in manifest.class_names}
    for shard, rows in plan.shards.items():
        for position, small in zip(rows.pictured, thumbnails[shard], strict=True):
            name = manifest.class_names[int(rows.targets[position].argmax())]
            if small:
                uri = html.image_to_uri(small)
                shown[name].append({"id": rows.ids[position], "uri": uri})
    return [(name, pictures) for name, pictures in shown.items() if pictures]
