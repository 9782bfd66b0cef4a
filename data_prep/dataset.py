"""The TFDS side: features and metadata of a prepared dataset.

Importing TFDS costs little, and nothing here loads TensorFlow.
"""

import os
import tempfile
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds

from data_prep.errors import OrchardError
from data_prep.manifest import SplitInfo


def refuse_registered_name(name: str) -> None:
    """Refuse a name that TFDS has a builder for: `tfds.load(name)` would take that one.

    Raises:
      OrchardError: the name is taken.
    """
    if name in tfds.core.registered.list_imported_builders():
        raise OrchardError(
            f"--name={name} is the name of a dataset of TFDS, which tfds.load would prepare "
            f"instead of yours; "
            f"choose another, such as my_{name}"
        )


def features(task: str, class_names: Sequence[str]) -> tfds.features.FeaturesDict:
    """What a record holds; see the README's "What is in a record"."""
    label = tfds.features.ClassLabel(names=list(class_names))
    if task == "single_label":
        labels = {"label": label}
    else:
        labels = {"labels": tfds.features.Sequence(label)}
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "image_id": tfds.features.Text(),
            "target": tfds.features.Tensor(shape=(len(class_names),), dtype=np.float32),
            **labels,
        }
    )


def supervised_keys(task: str) -> tuple[str, str]:
    """What `as_supervised=True` returns."""
    return ("image", "label" if task == "single_label" else "labels")


def metadata_files(
    name: str,
    version: str,
    task: str,
    class_names: Sequence[str],
    splits: dict[str, SplitInfo],
    description: str,
) -> dict[str, bytes]:
    """TFDS's files beside the shards: file name -> content.

    They are made in a temporary directory, so that they are the same whether the dataset is local
    or not.
    """
    with tempfile.TemporaryDirectory(prefix="orchard-") as directory:
        split_infos = []
        for split, info in splits.items():
            for shard in info.shards:
                # TFDS reads name and format of the dataset from the names of the shards.
                open(os.path.join(directory, shard.file), "wb").close()
            template = tfds.core.ShardedFileTemplate(
                data_dir=directory, dataset_name=name, split=split, filetype_suffix="tfrecord"
            )
            split_infos.append(
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[shard.num_records for shard in info.shards],
                    num_bytes=sum(shard.num_bytes for shard in info.shards),
                    filename_template=template,
                )
            )
        tfds.folder_dataset.write_metadata(
            data_dir=directory,
            features=features(task, class_names),
            split_infos=split_infos,
            version=version,
            check_data=False,
            supervised_keys=supervised_keys(task),
            description=description,
        )
        shards = {shard.file for info in splits.values() for shard in info.shards}
        files = {}
        for file in sorted(set(os.listdir(directory)) - shards):
            with open(os.path.join(directory, file), "rb") as content:
                files[file] = content.read()
        return files
