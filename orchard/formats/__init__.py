"""What passes between the stages: files, as types.

The dataset's manifest and index, the logits of a run, TFRecord frames and `.npz` archives. Each
type reads and writes its own file; no other module knows a file's name or its fields.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from orchard.formats import manifest, npz, tfrecord
    from orchard.formats.json_values import json_safe
    from orchard.formats.kinds import Task
    from orchard.formats.logits import Logits, load_logits, save_logits
    from orchard.formats.manifest import (
        DATASET_INFO_FILE,
        FEATURES_FILE,
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
        load_manifest,
        load_records,
    )

__all__ = [
    "DATASET_INFO_FILE",
    "FEATURES_FILE",
    "FileInfo",
    "Logits",
    "MANIFEST_FILE",
    "Manifest",
    "QUARANTINE_FILE",
    "RECORDS_FILE",
    "REPORT_FILE",
    "RUN_LOG_FILE",
    "SCHEMA_VERSION",
    "ShardInfo",
    "SplitInfo",
    "Task",
    "json_safe",
    "load_logits",
    "load_manifest",
    "load_records",
    "manifest",
    "npz",
    "save_logits",
    "tfrecord",
]

__getattr__, __dir__ = attach(__name__)
