"""The dataset card: what is in a dataset, at a glance, in one HTML file."""

import csv
import io
import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.checks import CheckedImages, quarantined_by_flag
from data_prep.config import PrepConfig, default_settings
from data_prep.plan import pictures_per_class
from data_prep.publish.written import WrittenDataset
from orchard import html
from orchard.formats import Manifest

_MAX_ROWS = 50


def description(manifest: Manifest) -> str:
    """The dataset's description in TFDS's metadata."""
    return (
        f"{manifest.name} {manifest.version}: {len(manifest.class_names)} classes, "
        f"{manifest.task}; prepared "
        f"by Orchard from a label CSV and a folder of images. Fingerprint {manifest.fingerprint}."
    )


def card(dataset: WrittenDataset, manifest: Manifest) -> bytes:
    """The card's HTML; depends on the dataset alone, like every other file in it."""
    config, images, assignment = dataset.config, dataset.images, dataset.assignment
    page = html.render(
        "data_prep/report.html",
        manifest=manifest,
        command=canonical_command(
            config,
            images.test is not None,
            images.labelled.table.fixes is not None,
            manifest.lineage[-1].version if manifest.lineage else "",
        ),
        splits=_split_rows(manifest),
        balance=_balance(manifest),
        sizes=_sizes(images),
        kinds=_kinds(images),
        groups=_duplicate_rows(dataset, assignment.identical),
        near_groups=_duplicate_rows(dataset, assignment.near),
        across=[
            (images.labelled.table.ids[one], images.test.table.ids[other])
            for one, other in assignment.identical_across
            if images.test
        ],
        near_duplicates=config.near_duplicates,
        fixes=images.labelled.table.fixes,
        problems=[one for problems in quarantined_by_flag(images).values() for one in problems],
        pictures=_pictures(dataset, manifest.class_names),
        max_rows=_MAX_ROWS,
    )
    return page.encode()


def canonical_command(
    config: PrepConfig, has_test: bool, has_fixes: bool = False, base_version: str = ""
) -> str:
    """The command that makes the same bytes, without paths: the literal one is in run_log.json.

    It is the one with CSVs, whatever the layout: a card depends on the dataset's bytes alone.
    """
    parts = ["python -m data_prep.main", "--csv=CSV", "--images_dir=IMAGES", "--data_dir=DATA"]
    if has_test:
        parts += ["--test_csv=TEST_CSV", "--test_images_dir=TEST_IMAGES"]
    if has_fixes:
        parts.append("--label_fixes=LABEL_FIXES")
    if config.decode_check and config.on_bad == "skip":
        parts.append("--decode_check")  # It decides which rows are left out.
    parts += [f"--name={config.name}", f"--version={config.version}"]
    if base_version:
        parts.append(f"--extends=DATA/{config.name}/{base_version}")
    defaults = default_settings()
    for name, value in config.settings().items():
        if value == defaults.get(name):
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


def _facts(images: CheckedImages) -> np.ndarray:
    """Of the files that were opened: of a dataset that grew, those of new rows."""
    return np.concatenate([one.facts[one.opened] for one in images.all])


def _sizes(images: CheckedImages) -> dict[str, Any] | None:
    facts = _facts(images)
    if not len(facts):
        return None
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


def _kinds(images: CheckedImages) -> list[tuple[str, int, int]]:
    """(kind, files, how many of them are re-encoded)."""
    facts = _facts(images)
    kinds = Counter(facts["kind"].tolist())
    encoded = Counter(facts["kind"][facts["reencode"]].tolist())
    return [(kind, count, encoded[kind]) for kind, count in kinds.most_common()]


def _duplicate_rows(dataset: WrittenDataset, groups: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    labelled = dataset.images.labelled
    if not groups:
        return []
    split_of = {
        row: name
        for name, split in dataset.assignment.splits.items()
        if split.table is labelled
        for row in split.rows.tolist()
    }
    return [
        {
            "ids": [labelled.table.ids[row] for row in group],
            "split": split_of[int(group[0])],
            "conflict": len({labelled.table.targets.key_of(row) for row in group}) > 1,
        }
        for group in groups
    ]


def _pictures(
    dataset: WrittenDataset, class_names: Sequence[str]
) -> list[tuple[str, list[dict[str, str]]]]:
    """The first records of each class that has any; one of several classes is in each of them."""
    shown: dict[str, list[dict[str, str]]] = {name: [] for name in class_names}
    most = pictures_per_class(len(class_names))
    for shard, written in zip(dataset.plan.shards, dataset.shards, strict=True):
        for position, small in zip(shard.pictured, written.thumbnails, strict=True):
            if not small:
                continue
            picture = {"id": shard.ids[position], "uri": html.image_to_uri(small)}
            for label in shard.targets.classes_of(position):
                if len(shown[class_names[label]]) < most:
                    shown[class_names[label]].append(picture)
    return [(name, pictures) for name, pictures in shown.items() if pictures]
