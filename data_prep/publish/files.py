"""The files beside the shards: manifest, index, card, TFDS's metadata, run log."""

import dataclasses
import hashlib
import os
import sys
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import google_crc32c
import numpy as np

from data_prep.checks import Survey, quarantine
from data_prep.config import PrepConfig, default_settings
from data_prep.labels import quarantine_csv
from data_prep.plan import (
    Assignment,
    Plan,
    deciding_versions,
    fingerprint_shard,
    input_facts,
    library_versions,
)
from data_prep.publish import card, index
from data_prep.shard import Receipt
from orchard import storage
from orchard.formats import (
    MANIFEST_FILE,
    QUARANTINE_FILE,
    RECORDS_FILE,
    REPORT_FILE,
    RUN_LOG_FILE,
    SCHEMA_VERSION,
    FileInfo,
    Manifest,
    ShardInfo,
    SplitInfo,
)


@dataclass
class Clock:
    """When each step began, in seconds since 1970: what only `run_log.json` may hold."""

    started: float
    checked: float = 0.0
    written: float = 0.0


def dataset_fingerprint(
    config: PrepConfig,
    plan: Plan,
    surveys: Sequence[Survey],
    known_settings: Container[str] | None = None,
) -> str:
    """SHA-256 (hex) of all that decides the dataset: see `manifest.Manifest`.

    With `known_settings`, as an Orchard has it that knows no others: where those have their
    defaults, it makes the same dataset.
    """
    settings = config.settings()
    unknown: set[str] = set()
    if known_settings is not None:
        defaults = default_settings().items()
        unknown = {k for k, v in defaults if k not in known_settings and settings[k] == v}
        settings = {name: settings[name] for name in settings.keys() - unknown}
    parts = {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "version": config.version,
        "settings": settings,
        "library_versions": deciding_versions(),
        "task": surveys[0].table.task,
        "class_names": surveys[0].table.class_names,
        "shards": [fingerprint_shard(plan, rows, unknown) for rows in plan.shards.values()],
        "quarantine": quarantine_csv(quarantine(surveys)).decode(),
    }
    return hashlib.sha256(storage.json_bytes(parts)).hexdigest()


def make_manifest(
    config: PrepConfig,
    surveys: Sequence[Survey],
    plan: Plan,
    receipts: Sequence[Receipt],
) -> Manifest:
    """The manifest of a dataset whose shards are all written."""
    table = surveys[0].table
    splits: dict[str, list[int]] = {}
    for shard, rows in plan.shards.items():
        splits.setdefault(rows.split, []).append(shard)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=config.name,
        version=config.version,
        fingerprint=dataset_fingerprint(config, plan, surveys),
        task=table.task,
        class_names=table.class_names,
        splits={
            split: _split_info(
                split, [plan.shards[s] for s in shards], [receipts[s] for s in shards]
            )
            for split, shards in splits.items()
        },
        settings=config.settings(),
        inputs=input_facts(surveys),
        library_versions=library_versions(),
    )


def _split_info(split: str, rows: Sequence, receipts: Sequence[Receipt]) -> SplitInfo:
    targets = np.concatenate([shard.targets for shard in rows])
    labelled = split != "test"
    counts = targets.sum(0, dtype=np.float64) if labelled else np.zeros(targets.shape[1])
    return SplitInfo(
        shards=tuple(
            ShardInfo(receipt.file, len(receipt.lengths), receipt.num_bytes, receipt.crc32c)
            for receipt in receipts
        ),
        labelled=labelled,
        class_counts=tuple(round(count, 6) for count in counts.tolist()),
    )


def dataset_files(
    config: PrepConfig,
    manifest: Manifest,
    surveys: Sequence[Survey],
    assignment: Assignment,
    plan: Plan,
    receipts: Sequence[Receipt],
    thumbnails: Mapping[int, Sequence[bytes]],
    clock: Clock,
) -> dict[str, bytes]:
    """Every file beside the shards, by name; in the manifest are the checksums of the others."""
    # TFDS takes a while to import, and nothing before this needs it.
    from data_prep.publish import tfds_metadata

    result = tfds_metadata.metadata_files(
        config.name,
        config.version,
        manifest.task,
        manifest.class_names,
        manifest.splits,
        card.description(manifest),
    )
    result[RECORDS_FILE] = index.records_parquet(plan, receipts)
    result[REPORT_FILE] = card.card(config, manifest, surveys, assignment, plan, thumbnails)
    if problems := quarantine(surveys):
        result[QUARANTINE_FILE] = quarantine_csv(problems)
    sums = {name: FileInfo(len(data), google_crc32c.value(data)) for name, data in result.items()}
    manifest = dataclasses.replace(manifest, files=sums)
    result[MANIFEST_FILE] = storage.json_bytes(manifest.to_json())
    result[RUN_LOG_FILE] = storage.json_bytes(_run_log(config, surveys, receipts, clock))
    return result


def _run_log(
    config: PrepConfig, surveys: Sequence[Survey], receipts: Sequence[Receipt], clock: Clock
) -> dict[str, object]:
    """What differs from run to run."""
    return {
        "schema_version": SCHEMA_VERSION,
        "command": [os.fsencode(one).decode(errors="backslashreplace") for one in sys.argv],
        "config": dataclasses.asdict(config),
        "host": os.uname().nodename,
        "python": sys.version.split()[0],
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock.started)),
        "checking_seconds": round(clock.checked - clock.started, 3),
        "writing_seconds": round(clock.written - clock.checked, 3),
        "newest_image_mtime_ns": max(int(one.facts["mtime_ns"].max()) for one in surveys),
        "shards": [
            {"file": r.file, "images": len(r.lengths), "bytes": r.num_bytes} for r in receipts
        ],
    }
