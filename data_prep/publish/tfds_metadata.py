"""TFDS's metadata of a prepared dataset: made and checked with TFDS itself.

Importing TFDS costs little, and nothing here loads TensorFlow.
"""

import os
import tempfile
from collections.abc import Container, Sequence

import numpy as np
import tensorflow_datasets as tfds

from orchard.errors import OrchardError
from orchard.formats import SplitInfo, Task


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
            f"instead of yours; "
            f"choose another, such as my_{name}"
        )


def features(task: Task, class_names: Sequence[str]) -> tfds.features.FeaturesDict:
    """What a record holds; see the README's "Prepare"."""
    label = tfds.features.ClassLabel(names=list(class_names))
    if task == Task.SINGLE_LABEL:
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


def supervised_keys(task: Task) -> tuple[str, str]:
    """What `as_supervised=True` returns."""
    return ("image", "label" if task == Task.SINGLE_LABEL else "labels")


def metadata_files(
    name: str,
    version: str,
    task: Task,
    class_names: Sequence[str],
    splits: dict[str, SplitInfo],
    description: str,
) -> dict[str, bytes]:
    """TFDS's files beside the shards: file name -> content.

    They are made in a temporary directory, so that they are the same whether the dataset is local
    or not.
    """
    with tempfile.TemporaryDirectory(prefix="orchard-") as directory:
        split_infos = [_split_info(name, split, info, directory) for split, info in splits.items()]
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


def _split_info(name: str, split: str, info: SplitInfo, directory: str) -> tfds.core.SplitInfo:
    """TFDS's idea of a split; makes the empty files from which TFDS reads name and format."""
    for shard in info.shards:
        open(os.path.join(directory, shard.file), "wb").close()
    return tfds.core.SplitInfo(
        name=split,
        shard_lengths=[shard.num_records for shard in info.shards],
        num_bytes=sum(shard.num_bytes for shard in info.shards),
        filename_template=tfds.core.ShardedFileTemplate(
            data_dir=directory, dataset_name=name, split=split, filetype_suffix="tfrecord"
        ),
    )


def check_metadata(
    files: dict[str, bytes], name: str, version: str, class_names: Sequence[str], task: Task
) -> dict[str, list[int]]:
    """Let TFDS read its own files; what it thinks of the splits: name -> records of each shard.

    Args:
      files: `features.json`, `dataset_info.json` and whatever else is no shard, by name.
      name: the dataset's, as the manifest has it.
      version: the dataset's, as the manifest has it.
      class_names: as the manifest has them.
      task: as the manifest has it.

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
            reason = " ".join(str(error).split())[:200]
            raise OrchardError(f"TFDS cannot read the dataset's metadata: {reason}") from error
        key = supervised_keys(task)[1]
        label = info.features[key] if key in info.features else None
        label = getattr(label, "feature", label)
        found = (info.name, str(info.version), list(getattr(label, "names", None) or []))
        wanted = (name, version, list(class_names))
        for what, one, other in zip(("name", "version", "class names"), found, wanted, strict=True):
            if one != other:
                raise OrchardError(f"TFDS's metadata has {what} {one}, the manifest {other}")
        return {split: list(split_info.shard_lengths) for split, split_info in info.splits.items()}
