"""The record table of a dataset: one that data_prep prepared, or another program as TFDS."""

import functools

import numpy as np
import pandas as pd

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Targets, fold_number, repeat_and_fold, repeat_fold_name
from orchard.formats import manifest as manifests
from trainer.data import gcs_reads, tfds_records
from trainer.data.records import RecordTable, check_not_empty, choose_splits


def load_records(dataset_dir: str, splits: str) -> RecordTable:
    """Reads the table of some splits, e.g. "fold0+fold1", "train", "test" or "repeat1_fold0".

    A TFDS dataset that another program prepared will do too if it has one image and one label
    feature; its index is scanned once and kept (see `trainer.data.tfds_records`).

    Raises:
        OrchardError: no such dataset or split, the same split twice, or splits without records.
    """
    if _is_foreign(dataset_dir):
        return tfds_records.load(dataset_dir, splits)
    return _from_manifest(dataset_dir, splits)


def split_names(dataset_dir: str) -> tuple[str, ...]:
    """The splits of a dataset, in its order; of one that another program prepared, too.

    Raises:
        OrchardError: no such dataset.
    """
    if _is_foreign(dataset_dir):
        return tfds_records.split_names(dataset_dir)
    return tuple(manifests.load_manifest(dataset_dir).splits)


def all_folds(dataset_dir: str) -> list[str]:
    """The numbers of a dataset's folds, as --fold takes them.

    Raises:
        OrchardError: there are none to train on in turn.
    """
    numbers = [fold_number(name) for name in split_names(dataset_dir)]
    folds = [str(number) for number in numbers if number is not None]
    if len(folds) < 2:
        raise OrchardError(
            f"--fold=all: {dataset_dir} has no folds; prepare it with data_prep.main --folds=5"
        )
    return folds


def set_gcs_read_options(dataset_dir: str) -> None:
    """Set the environment in which TensorFlow reads this dataset from gs://; see `gcs_reads`.

    A command calls it before TensorFlow first touches gs://, which is when it looks. A dataset on
    a local disk, or one that another program prepared, leaves the environment as it is.
    """
    if storage.is_gcs(dataset_dir) and not _is_foreign(dataset_dir):
        splits = manifests.load_manifest(dataset_dir).splits.values()
        num_bytes = sum(shard.num_bytes for split in splits for shard in split.shards)
        gcs_reads.set_read_options(num_bytes)


def _is_foreign(dataset_dir: str) -> bool:
    """Whether a dataset has TFDS's metadata alone."""
    return not storage.exists(storage.join(dataset_dir, manifests.MANIFEST_FILE)) and (
        storage.exists(storage.join(dataset_dir, manifests.FEATURES_FILE))
    )


def _from_manifest(dataset_dir: str, splits: str) -> RecordTable:
    manifest = manifests.load_manifest(dataset_dir)
    chosen = choose_splits(dataset_dir, (*manifest.splits, *_repeat_splits(manifest)), splits)
    frame = _frame(dataset_dir, manifest.fingerprint)
    frame = frame[np.logical_or.reduce([_rows_of(frame, split) for split in chosen])]
    first_file: dict[str, int] = {}
    files: list[str] = []
    for split in [one for one in manifest.splits if one in set(frame["split"])]:
        first_file[split] = len(files)
        files += [storage.join(dataset_dir, shard.file) for shard in manifest.splits[split].shards]
    check_not_empty(dataset_dir, splits, len(frame))
    file_index = frame["split"].map(first_file).to_numpy() + frame["shard"].to_numpy()
    if (np.diff(file_index) < 0).any():
        raise OrchardError(
            f"{dataset_dir}: {manifests.RECORDS_FILE} is not in shard order; prepare it again"
        )
    return RecordTable(
        ids=frame["id"].to_numpy(str),
        files=tuple(files),
        file_index=file_index.astype(np.int32),
        offsets=frame["offset"].to_numpy(np.int64),
        lengths=frame["length"].to_numpy(np.int32),
        targets=Targets.of_index(frame, len(manifest.class_names)).matrix,
        class_names=manifest.class_names,
        task=manifest.task,
        fingerprint=manifest.fingerprint,
        splits=chosen,
        square_px=manifest.settings.get("square_px", 0),
    )


def _repeat_splits(manifest: manifests.Manifest) -> list[str]:
    """The folds of further repeats: they are in the index, and no splits for TFDS."""
    folds = [number for number in map(fold_number, manifest.splits) if number is not None]
    repeats = range(1, manifest.settings.get("fold_repeats", 1))
    return [repeat_fold_name(repeat, fold) for repeat in repeats for fold in folds]


def _rows_of(frame: pd.DataFrame, split: str) -> np.ndarray:
    """Which records a split has: bool [records]."""
    repeat, fold = repeat_and_fold(split) or (0, 0)
    if not repeat:
        return (frame["split"] == split).to_numpy()
    return np.stack(frame[manifests.REPEATS_COLUMN].tolist())[:, repeat - 1] == fold


@functools.lru_cache(maxsize=4)
def _frame(dataset_dir: str, fingerprint: str) -> pd.DataFrame:
    # Training, evaluation and five folds each want a part of the same file. The fingerprint is part
    # of the key because a dataset may be prepared again at the same path.
    del fingerprint
    return manifests.load_records(dataset_dir)
