"""TFDS's metadata of a prepared dataset: made and checked with TFDS itself.

Importing TFDS costs little, and nothing here loads TensorFlow.
"""

import os
import tempfile
from collections.abc import Container, Sequence

import numpy as np
import tensorflow_datasets as tfds

from orchard.errors import OrchardError, in_one_line
from orchard.formats import DATASET_INFO_FILE, Manifest, SplitInfo, Task, record_format


def refuse_registered_name(name: str, own: Container[str] = ()) -> None:
    """Refuse a name that TFDS has a builder for: `tfds.load(name)` would take that one.

    Args:
        name: the dataset's.
        own: names registered by our own builders, which prepare just this.

    Raises:
        OrchardError: the name is taken.
    """
    if name not in own and name in tfds.core.registered.list_imported_builders():
        raise OrchardError(
            f"--name={name} is the name of a dataset of TFDS, which tfds.load would prepare "
            f"instead of yours; choose another, such as my_{name}"
        )


def features(
    task: Task, class_names: Sequence[str], has_targets: bool = True
) -> tfds.features.FeaturesDict:
    """What a record holds."""
    label = tfds.features.ClassLabel(names=list(class_names))
    if task == Task.SINGLE_LABEL:
        labels = {"label": label}
    else:
        labels = {"labels": tfds.features.Sequence(label)}
    targets = {}
    if has_targets:
        targets["target"] = tfds.features.Tensor(shape=(len(class_names),), dtype=np.float32)
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "image_id": tfds.features.Text(),
            **targets,
            **labels,
        }
    )


def supervised_keys(task: Task) -> tuple[str, str]:
    """What `as_supervised=True` returns."""
    return ("image", "label" if task == Task.SINGLE_LABEL else "labels")


def metadata_files(manifest: Manifest, description: str) -> dict[str, bytes]:
    """TFDS's files beside the shards, by name.

    They are made in a temporary directory, so that they are the same whether the dataset is local
    or not.
    """
    with tempfile.TemporaryDirectory(prefix="orchard-") as directory:
        split_infos = [
            _split_info(manifest.name, split, info, directory)
            for split, info in manifest.splits.items()
        ]
        tfds.folder_dataset.write_metadata(
            data_dir=directory,
            features=features(manifest.task, manifest.class_names, manifest.has_targets),
            split_infos=split_infos,
            version=manifest.version,
            check_data=False,
            supervised_keys=supervised_keys(manifest.task),
            description=description,
        )
        shards = {shard.file for info in manifest.splits.values() for shard in info.shards}
        files = {}
        for file in sorted(set(os.listdir(directory)) - shards):
            with open(os.path.join(directory, file), "rb") as content:
                files[file] = content.read()
        return files


def _split_info(name: str, split: str, info: SplitInfo, directory: str) -> tfds.core.SplitInfo:
    """A split as TFDS has it; makes the empty files from which TFDS reads name and format."""
    for shard in info.shards:
        open(os.path.join(directory, shard.file), "wb").close()
    return tfds.core.SplitInfo(
        name=split,
        shard_lengths=[shard.num_records for shard in info.shards],
        num_bytes=sum(shard.num_bytes for shard in info.shards),
        filename_template=tfds.core.ShardedFileTemplate(
            data_dir=directory,
            dataset_name=name,
            split=split,
            filetype_suffix=record_format(info.shards[0].file).name,
        ),
    )


def check_metadata(files: dict[str, bytes], manifest: Manifest) -> None:
    """Let TFDS read its own files, and compare what it reads with the manifest.

    Args:
        files: `features.json`, `dataset_info.json` and whatever else is no shard, by name.
        manifest: the dataset's.

    Raises:
        OrchardError: TFDS cannot read them, or reads something else than the manifest says.
    """
    with tempfile.TemporaryDirectory(prefix="orchard-") as directory:
        for file, data in files.items():
            with open(os.path.join(directory, file), "wb") as output:
                output.write(data)
        try:
            info = tfds.builder_from_directory(directory).info
        except Exception as error:
            reason = in_one_line(error)
            raise OrchardError(f"TFDS cannot read the dataset's metadata: {reason}") from error
        key = supervised_keys(manifest.task)[1]
        label = info.features[key] if key in info.features else None
        label = getattr(label, "feature", label)
        class_names = list(getattr(label, "names", None) or [])
        for what, found, wanted in (
            ("name", info.name, manifest.name),
            ("version", str(info.version), manifest.version),
            ("class names", class_names, list(manifest.class_names)),
        ):
            if found != wanted:
                raise OrchardError(f"TFDS's metadata has {what} {found}, the manifest {wanted}")
        records = {split: list(read.shard_lengths) for split, read in info.splits.items()}
        planned = {
            name: [shard.num_records for shard in split.shards]
            for name, split in manifest.splits.items()
        }
        if records != planned:
            raise OrchardError(
                f"{DATASET_INFO_FILE} says {records} records a shard, the manifest {planned}"
            )
