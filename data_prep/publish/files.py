"""The files beside the shards: manifest, index, card, TFDS's metadata, run log."""

import dataclasses
import os
import sys
import time

import google_crc32c

from data_prep.checks import quarantine
from data_prep.publish import card, croissant, index
from data_prep.publish.written import Times, WrittenDataset
from orchard import storage
from orchard.formats import (
    CROISSANT_FILE,
    MANIFEST_FILE,
    QUARANTINE_FILE,
    RECORDS_FILE,
    REPORT_FILE,
    RUN_LOG_FILE,
    FileInfo,
    Manifest,
)


def dataset_files(dataset: WrittenDataset, manifest: Manifest, times: Times) -> dict[str, bytes]:
    """Every file beside the shards, by name; in the manifest are the checksums of the others."""
    # TFDS takes a while to import, and nothing before this needs it.
    from data_prep.publish import tfds_metadata

    description = card.description(manifest)
    result = tfds_metadata.metadata_files(manifest, description)
    receipts = [shard.receipt for shard in dataset.shards]
    result[RECORDS_FILE] = index.records_parquet(dataset.plan, receipts)
    result[CROISSANT_FILE] = croissant.croissant_json(manifest, description, result[RECORDS_FILE])
    result[REPORT_FILE] = card.card(dataset, manifest)
    if any(one.problems for one in dataset.images.all):
        result[QUARANTINE_FILE] = quarantine(dataset.images)
    sums = {name: FileInfo(len(data), google_crc32c.value(data)) for name, data in result.items()}
    manifest = dataclasses.replace(manifest, files=sums)
    result[MANIFEST_FILE] = storage.json_bytes(manifest.to_json())
    result[RUN_LOG_FILE] = storage.json_bytes(_run_log(dataset, times))
    return result


def _run_log(dataset: WrittenDataset, times: Times) -> dict[str, object]:
    """What differs from run to run."""
    newest = max(int(one.facts["mtime_ns"].max()) for one in dataset.images.all)
    return {
        "schema_version": Manifest.SCHEMA_VERSION,
        "command": [os.fsencode(one).decode(errors="backslashreplace") for one in sys.argv],
        "config": dataclasses.asdict(dataset.config),
        "host": os.uname().nodename,
        "python": sys.version.split()[0],
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(times.started)),
        "checking_seconds": round(times.checked - times.started, 3),
        "writing_seconds": round(times.written - times.checked, 3),
        "newest_image_mtime_ns": newest,
        "shards": [
            {
                "file": shard.receipt.file,
                "images": len(shard.receipt.lengths),
                "bytes": shard.receipt.num_bytes,
            }
            for shard in dataset.shards
        ],
    }
