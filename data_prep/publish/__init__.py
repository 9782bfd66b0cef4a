"""From finished shards to a published dataset, on a local disk or on gs://.

`open_staging` says where a dataset grows (`staging.py` is the contract; `local_staging.py` and
`gcs_staging.py` keep it), `dataset_files` makes all that lies beside the shards: manifest, index,
card, TFDS's metadata. `changes.py` says what differs from an earlier run.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.publish.changes import (
        Given,
        check_finished,
        describe_changes,
        load_given,
        save_given,
    )
    from data_prep.publish.files import dataset_files
    from data_prep.publish.manifests import make_manifest
    from data_prep.publish.opening import open_staging
    from data_prep.publish.staging import Claim, Publisher, Staging
    from data_prep.publish.tfds_metadata import (
        check_metadata,
        features,
        refuse_registered_name,
        supervised_keys,
    )
    from data_prep.publish.written import Times, WrittenDataset

__all__ = [
    "Claim",
    "Given",
    "Publisher",
    "Staging",
    "Times",
    "WrittenDataset",
    "check_finished",
    "check_metadata",
    "dataset_files",
    "describe_changes",
    "features",
    "load_given",
    "make_manifest",
    "open_staging",
    "refuse_registered_name",
    "save_given",
    "supervised_keys",
]

__getattr__, __dir__ = attach(__name__)
