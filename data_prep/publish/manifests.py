"""The manifest of a dataset, and its fingerprint."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.checks import CheckedImages, quarantine, quarantined_by_flag
from data_prep.config import PrepConfig
from data_prep.labels import quarantine_csv
from data_prep.plan import (
    Plan,
    PlannedShard,
    deciding_versions,
    library_versions,
)
from data_prep.publish.written import WrittenDataset
from data_prep.shard import Receipt
from orchard import storage
from orchard.formats import Manifest, ShardInfo, SplitInfo, Targets


def dataset_fingerprint(config: PrepConfig, images: CheckedImages, plan: Plan) -> str:
    """SHA-256 (hex) of all that decides the dataset: see `orchard.formats.Manifest`."""
    parts = {
        "schema_version": Manifest.SCHEMA_VERSION,
        "name": config.name,
        "version": config.version,
        "settings": config.settings(),
        "library_versions": deciding_versions(config.file_format),
        "task": plan.task,
        "class_names": images.labelled.table.class_names,
        "shards": [shard.content for shard in plan.shards],
        "quarantine": quarantine(images).decode(),
    }
    if plan.lineage:
        parts["lineage"] = [(step.version, step.fingerprint) for step in plan.lineage]
    return hashlib.sha256(storage.json_bytes(parts)).hexdigest()


def make_manifest(dataset: WrittenDataset) -> Manifest:
    """The manifest of a dataset; it lacks the checksums of the files beside the shards."""
    config, plan = dataset.config, dataset.plan
    return Manifest(
        name=config.name,
        version=config.version,
        fingerprint=dataset_fingerprint(config, dataset.images, plan),
        task=plan.task,
        class_names=dataset.images.labelled.table.class_names,
        splits={
            split: _split_info(
                [plan.shards[position] for position in positions],
                [dataset.shards[position].receipt for position in positions],
            )
            for split, positions in plan.splits.items()
        },
        settings=config.settings(),
        inputs=_input_facts(dataset.images),
        library_versions=library_versions(config.file_format),
        has_targets=plan.has_targets,
        lineage=plan.lineage,
    )


def _input_facts(images: CheckedImages) -> dict[str, Any]:
    """What the manifest says of the inputs: digests and counts, no paths."""
    result: dict[str, Any] = {}
    problems = quarantined_by_flag(images)
    for flag, one in images.by_flag.items():
        files = list(map(one.files.__getitem__, np.flatnonzero(one.usable).tolist()))
        content = hashlib.sha256(json.dumps(files).encode())
        content.update(one.facts["sha256"][one.usable].tobytes())
        result[flag] = {
            "sha256": one.table.sha256,
            "rows": len(one.table.ids),
            "rows_left_out": int((~one.usable).sum()),
            "quarantine_sha256": hashlib.sha256(quarantine_csv(problems[flag])).hexdigest(),
            "images_sha256": content.hexdigest(),
            "label_shape": one.table.shape,
        }
        if one.table.fixes:
            result[flag]["label_fixes"] = dataclasses.asdict(one.table.fixes)
    return result


def _split_info(shards: Sequence[PlannedShard], receipts: Sequence[Receipt]) -> SplitInfo:
    targets = Targets.concatenate([shard.targets for shard in shards])
    labelled = shards[0].labelled
    counts = targets.sums if labelled else np.zeros(targets.num_classes)
    return SplitInfo(
        shards=tuple(
            ShardInfo(receipt.file, len(receipt.lengths), receipt.num_bytes, receipt.crc32c)
            for receipt in receipts
        ),
        labelled=labelled,
        class_counts=tuple(round(count, 6) for count in counts.tolist()),
    )
