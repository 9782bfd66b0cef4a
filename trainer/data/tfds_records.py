"""The record table of a TFDS dataset that another program prepared.

Such a dataset has no index: its files are scanned once, and the index is kept beside them, or in
the user's cache where the dataset is read-only.
"""

import hashlib
import io
import json
import os
from typing import Any, NamedTuple

import numpy as np

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import FEATURES_FILE, Task, npz, record_format, tfrecord
from orchard.progress import Progress
from trainer.data import shard_cache
from trainer.data.records import RecordTable, check_not_empty, choose_splits

_INDEX_VERSION = 1
_INDEX_FOLDER = ".orchard_index"


class Layout(NamedTuple):
    """Which features hold image and label, and what the labels mean."""

    image_key: str
    label_key: str
    task: Task
    class_names: tuple[str, ...]


class SplitIndex(NamedTuple):
    """Of one split, records in file order: int64 arrays, labels ragged as (values, row lengths)."""

    file_index: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    label_counts: np.ndarray


def split_names(dataset_dir: str) -> tuple[str, ...]:
    """The splits of a dataset; OrchardError where there is none."""
    return tuple(_info(dataset_dir).splits)


def load(dataset_dir: str, splits: str) -> RecordTable:
    """Reads the table of some splits of a dataset with one image and one label feature.

    Ids are SPLIT/NUMBER, the number counting the split's records. Labels of -1 mean unlabeled.

    Raises:
        OrchardError: not such a dataset, files of another form, no such split.
    """
    info = _info(dataset_dir)
    layout = find_layout(dataset_dir, info.features)
    chosen = choose_splits(dataset_dir, tuple(info.splits), splits)
    files: list[str] = []
    parts: list[SplitIndex] = []
    ids: list[str] = []
    for split in chosen:
        paths = [os.fspath(path) for path in info.splits[split].filepaths]
        index = _split_index(dataset_dir, split, paths, layout)
        parts.append(index._replace(file_index=index.file_index + len(files)))
        ids += [f"{split}/{number}" for number in range(len(index.offsets))]
        files += paths
    check_not_empty(dataset_dir, splits, len(ids))
    merged = SplitIndex(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return RecordTable(
        ids=np.array(ids),
        files=tuple(files),
        file_index=merged.file_index.astype(np.int32),
        offsets=merged.offsets,
        lengths=merged.lengths.astype(np.int32),
        targets=_targets(merged, len(layout.class_names)),
        class_names=layout.class_names,
        task=layout.task,
        fingerprint=_fingerprint(dataset_dir, list(info.splits)),
        splits=chosen,
        image_key=layout.image_key,
    )


def _info(dataset_dir: str) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(dataset_dir).info
    except Exception as error:
        raise OrchardError(f"{dataset_dir} is no TFDS dataset: {error}") from error


def find_layout(dataset_dir: str, features: Any) -> Layout:
    """Finds the one image and the one label (or sequence of labels) among a dataset's features."""
    import tensorflow_datasets as tfds

    images, labels = [], []
    for key, feature in features.items():
        if isinstance(feature, tfds.features.Image):
            images.append(key)
        elif isinstance(feature, tfds.features.ClassLabel):
            labels.append(Layout("", key, Task.SINGLE_LABEL, tuple(feature.names)))
        elif isinstance(getattr(feature, "feature", None), tfds.features.ClassLabel):
            labels.append(Layout("", key, Task.MULTI_LABEL, tuple(feature.feature.names)))
    if len(images) != 1 or len(labels) != 1:
        raise OrchardError(
            f"{dataset_dir} has {len(images)} image and {len(labels)} label features among "
            f"{', '.join(features)}; training needs one of each"
        )
    return labels[0]._replace(image_key=images[0])


def _targets(index: SplitIndex, num_classes: int) -> np.ndarray:
    targets = np.zeros((len(index.offsets), num_classes), np.float32)
    rows = np.repeat(np.arange(len(index.offsets)), index.label_counts)
    known = index.labels >= 0
    targets[rows[known], index.labels[known]] = 1
    targets[rows[~known]] = -1
    return targets


def _split_index(dataset_dir: str, split: str, paths: list[str], layout: Layout) -> SplitIndex:
    """The index of a split, from where it was kept or by a scan."""
    facts = [shard_cache.stat_shard(path) for path in paths]
    sizes = [(fact.num_bytes, fact.crc32c) for fact in facts]
    key = _hash([_INDEX_VERSION, layout, paths, sizes])
    name = f"{split}-{key[:16]}.npz"
    places = [
        storage.join(dataset_dir, _INDEX_FOLDER, name),
        os.path.join(_user_cache(), "orchard", "index", name),
    ]
    for place in places:
        if storage.exists(place):
            arrays = npz.read(
                place,
                *SplitIndex._fields,
                kind="index of records",
                remedy="delete it",
                aligned=("file_index", "offsets", "lengths", "label_counts"),
            )
            return SplitIndex(*(arrays[name] for name in SplitIndex._fields))
    index = _scan(split, paths, layout)
    for place in places:
        try:
            npz.write(place, index._asdict())
            break
        except (OrchardError, OSError):
            continue  # A read-only dataset: the next place; without any, the next run scans again.
    return index


def _scan(split: str, paths: list[str], layout: Layout) -> SplitIndex:
    rows, labels, counts = [], [], []
    for number, path in enumerate(Progress(paths, f"indexing {split}", unit=" files", delay=2)):
        form = record_format(path)
        for frame in form.scan(io.BytesIO(storage.read_bytes(path)), path):
            where = f"{path}, {form.describe(frame.offset)}"
            found = _labels(frame.payload, layout.label_key, where)
            rows.append((number, frame.offset, len(frame.payload)))
            labels += found
            counts.append(len(found))
    files, offsets, lengths = np.array(rows, np.int64).reshape(-1, 3).T
    return SplitIndex(
        files, offsets, lengths, np.array(labels, np.int64), np.array(counts, np.int64)
    )


def _labels(payload: bytes, key: str, where: str) -> list[int]:
    try:
        return tfrecord.Example(payload).ints_of(key)
    except ValueError as error:
        raise OrchardError(
            f"{where}: no tf.train.Example with a {key!r} feature ({error}); only TFRecord and "
            "ArrayRecord files of them are read"
        ) from error


def _fingerprint(dataset_dir: str, splits: list[str]) -> str:
    described = [
        storage.read_bytes(storage.join(dataset_dir, name)).hex()
        for name in (FEATURES_FILE, "dataset_info.json")
    ]
    return _hash([described, splits])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _user_cache() -> str:
    return os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
