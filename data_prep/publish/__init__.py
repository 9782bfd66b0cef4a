"""From finished shards to a published dataset, locally or on gs://.

Staging, the commit, and the files beside the shards: manifest, index, card, TFDS's metadata.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.publish.card import read_thumbnails
    from data_prep.publish.diff import (
        Snapshot,
        differences,
        load_snapshot,
        save_snapshot,
        snapshot_of_dataset,
        snapshot_of_run,
    )
    from data_prep.publish.files import Clock, dataset_files, dataset_fingerprint, make_manifest
    from data_prep.publish.staging import Staging, open_staging
    from data_prep.publish.tfds_metadata import (
        check_metadata,
        features,
        refuse_registered_name,
        supervised_keys,
    )

__all__ = [
    "Clock",
    "Snapshot",
    "Staging",
    "check_metadata",
    "dataset_files",
    "dataset_fingerprint",
    "differences",
    "features",
    "load_snapshot",
    "make_manifest",
    "open_staging",
    "read_thumbnails",
    "refuse_registered_name",
    "save_snapshot",
    "snapshot_of_dataset",
    "snapshot_of_run",
    "supervised_keys",
]

__getattr__, __dir__ = attach(__name__)
