"""Checks a published dataset from its own files alone, byte by byte."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import google_crc32c
import numpy as np

from data_prep.engines import LocalEngine
from data_prep.images import PASS, ImageOptions, decode_problem, inspect_image
from data_prep.publish import check_metadata
from data_prep.verification.lineage import check_lineage
from orchard import progress, storage
from orchard.errors import OrchardError
from orchard.formats import (
    DATASET_INFO_FILE,
    FEATURES_FILE,
    RECORD_FORMATS,
    Manifest,
    ShardInfo,
    Targets,
    Task,
    load_manifest,
    load_records,
    record_format,
    tfrecord,
)

if TYPE_CHECKING:
    import pandas

_NO_LIMITS = ImageOptions(max_pixels=1 << 62)


@dataclass(frozen=True)
class AuditTask:
    """One shard and what the index says of its records; arrays have one entry a record."""

    path: str
    info: ShardInfo
    task: Task
    ids: tuple[str, ...]
    offsets: np.ndarray
    lengths: np.ndarray
    image_crc32c: np.ndarray
    targets: Targets
    decode_check: bool


@dataclass(frozen=True)
class SplitReport:
    """What was read of one split."""

    name: str
    shards: int
    records: int
    num_bytes: int


def audit_dataset(
    dataset_dir: str,
    workers: int = 0,
    decode_check: bool = False,
    log: Callable[[str], None] = print,
) -> list[SplitReport]:
    """Read a dataset end to end, and compare all that is stated about it in two places.

    Args:
        dataset_dir: the dataset's directory.
        workers: processes; 0: one a core.
        decode_check: decode every image, rather than read its header.
        log: takes each line that is for the user.

    Raises:
        OrchardError: the first damage found, with shard, record and id.
    """
    manifest = load_manifest(dataset_dir)
    log(f"{manifest.name} {manifest.version}, fingerprint {manifest.fingerprint[:16]}")
    _check_names(dataset_dir, manifest)
    _check_sums(dataset_dir, manifest, log)
    _check_metadata(dataset_dir, manifest)
    records = load_records(dataset_dir)
    _check_index(records, manifest)
    if manifest.lineage:
        log(check_lineage(dataset_dir, manifest, records))
    tasks = list(_tasks(dataset_dir, manifest, records, decode_check))
    with (
        LocalEngine(workers) as engine,
        progress.bar("verifying", len(records)) as bar,
    ):
        for position, num_records in engine.map(audit_shard, tasks):
            bar.add(num_records, tasks[position].info.num_bytes)
    return [
        SplitReport(
            name=name,
            shards=len(split.shards),
            records=split.num_records,
            num_bytes=sum(shard.num_bytes for shard in split.shards),
        )
        for name, split in manifest.splits.items()
    ]


def _check_names(dataset_dir: str, manifest: Manifest) -> None:
    there = set(storage.list_names(dataset_dir))
    shards = {shard.file for split in manifest.splits.values() for shard in split.shards}
    if missing := sorted((shards | manifest.files.keys()) - there):
        raise OrchardError(
            f"{dataset_dir}: {len(missing)} files are missing, the first is {missing[0]}"
        )
    unknown = sorted(
        name for name in there - shards if any(f".{form}" in name for form in RECORD_FORMATS)
    )
    if unknown:
        raise OrchardError(
            f"{dataset_dir}: {unknown[0]} is a shard that the manifest does not know"
        )


def _check_sums(dataset_dir: str, manifest: Manifest, log: Callable[[str], None]) -> None:
    """Compare the files beside the shards with the manifest."""
    if not manifest.files:
        log(
            "written before manifests had checksums of the files beside the shards: those are "
            "compared by what they say, where they say the same thing"
        )
    paths = [storage.join(dataset_dir, name) for name in manifest.files]
    found = storage.sizes_and_crc32cs(paths)
    for (name, info), sums in zip(manifest.files.items(), found, strict=True):
        _check_sum(name, sums, (info.num_bytes, info.crc32c))


def _check_sum(name: str, found: tuple[int, int] | None, wanted: tuple[int, int]) -> None:
    if found != wanted:
        size, crc = found or (0, 0)
        raise OrchardError(
            f"{name}: {size} bytes with crc32c {crc:08x}, the manifest says {wanted[0]} with "
            f"{wanted[1]:08x}"
        )


def _check_metadata(dataset_dir: str, manifest: Manifest) -> None:
    names = [
        name
        for name in storage.list_names(dataset_dir)
        if name in (FEATURES_FILE, DATASET_INFO_FILE) or name.endswith(".labels.txt")
    ]
    files = {name: storage.read_bytes(storage.join(dataset_dir, name)) for name in names}
    check_metadata(files, manifest)


def _check_index(records: "pandas.DataFrame", manifest: Manifest) -> None:
    twice = records["id"][records["id"].duplicated()]
    if len(twice):
        raise OrchardError(f"records.parquet: the id {twice.iloc[0]!r} appears twice")
    for name, split in manifest.splits.items():
        found = records[records["split"] == name].groupby("shard").size().to_dict()
        wanted = {at: shard.num_records for at, shard in enumerate(split.shards)}
        if found != wanted:
            raise OrchardError(
                f"records.parquet has {sum(found.values())} records of split {name!r} in "
                f"{len(found)} shards, the manifest {sum(wanted.values())} in {len(wanted)}"
            )
    counts = {name: split.class_counts for name, split in manifest.splits.items() if split.labelled}
    if ("target" in records) != manifest.has_targets:
        raise OrchardError(
            f"records.parquet has {'a' if 'target' in records else 'no'} column 'target', against "
            "the manifest"
        )
    for name, wanted_counts in counts.items():
        rows = records[records["split"] == name]
        targets = Targets.of_index(rows, len(manifest.class_names))
        if not np.allclose(targets.sums, wanted_counts, atol=1e-4):
            raise OrchardError(
                f"records.parquet: the labels of split {name!r} are not the manifest's"
            )


def _tasks(
    dataset_dir: str, manifest: Manifest, records: "pandas.DataFrame", decode_check: bool
) -> Iterator[AuditTask]:
    start = 0
    for split in manifest.splits.values():
        for shard in split.shards:
            rows = records.iloc[start : start + shard.num_records]
            start += shard.num_records
            yield AuditTask(
                path=storage.join(dataset_dir, shard.file),
                info=shard,
                task=manifest.task,
                ids=tuple(rows["id"]),
                offsets=rows["offset"].to_numpy(),
                lengths=rows["length"].to_numpy(),
                image_crc32c=rows["image_crc32c"].to_numpy(),
                targets=Targets.of_index(rows, len(manifest.class_names)),
                decode_check=decode_check,
            )


def audit_shard(task: AuditTask) -> int:
    """Check one shard; returns its number of records.

    Raises:
        OrchardError: damage, with shard, record and id.
    """
    with storage.reading(task.path) as file:
        reader = _ChecksumReader(file)
        count = 0
        for index, frame in enumerate(record_format(task.path).scan(reader, task.info.file)):
            if index == len(task.ids):
                raise OrchardError(
                    f"{task.info.file} has more records than the {index} of the index"
                )
            _check_record(task, index, frame)
            count = index + 1
    if count < len(task.ids):
        raise OrchardError(
            f"{task.info.file} ends after {count} of {len(task.ids)} records; the first that is "
            f"missing is {task.ids[count]!r}"
        )
    found = (reader.num_bytes, reader.crc32c)
    _check_sum(task.info.file, found, (task.info.num_bytes, task.info.crc32c))
    return count


def _check_record(task: AuditTask, index: int, frame: tfrecord.Frame) -> None:
    where = f"{task.info.file}, record {index}, id {task.ids[index]!r}"
    if (frame.offset, len(frame.payload)) != (task.offsets[index], task.lengths[index]):
        raise OrchardError(
            f"{where}: lies at {record_format(task.path).describe(frame.offset)} with "
            f"{len(frame.payload)} bytes, the index says {task.offsets[index]} with "
            f"{task.lengths[index]}"
        )
    try:
        example = tfrecord.Example(frame.payload)
        jpeg, image_id = example.bytes_of("image"), example.bytes_of("image_id")
        target = None if task.targets.are_classes else example.floats_of("target")
        labels = example.ints_of("label" if task.task == Task.SINGLE_LABEL else "labels")
    except ValueError as error:
        raise OrchardError(f"{where}: not a tf.train.Example of ours ({error})") from error
    if image_id != task.ids[index].encode():
        raise OrchardError(f"{where}: the record's id is {image_id.decode(errors='replace')!r}")
    if google_crc32c.value(jpeg) != task.image_crc32c[index]:
        raise OrchardError(f"{where}: the image does not match its checksum in the index")
    facts = inspect_image(jpeg, _NO_LIMITS)
    problem = facts.problem and facts.problem[1]
    if not problem and facts.action != PASS:
        problem = f"a {facts.kind} is no image for a record"
    if not problem and task.decode_check:
        problem = decode_problem(jpeg)
    if problem:
        raise OrchardError(f"{where}: {problem}")
    if reason := label_problem(target, labels, task.targets.values[index], task.task):
        raise OrchardError(f"{where}: {reason}")


def label_problem(
    target: np.ndarray | None, labels: Sequence[int], wanted: np.ndarray, task: Task
) -> str | None:
    """What is wrong with a record's labels, or None; without a target, `wanted` is the label."""
    if target is None:
        return None if labels == [wanted] else f"label {labels}, the index says [{wanted}]"
    if target.shape != wanted.shape or (target != wanted).any():
        return f"target {target.tolist()}, the index says {wanted.tolist()}"
    unlabeled = bool((target == -1).all())
    if not unlabeled and not ((target >= 0) & (target <= 1)).all():
        return f"target {target.tolist()} is neither -1 everywhere nor from 0 to 1"
    if task == Task.SINGLE_LABEL:
        right = [-1 if unlabeled else int(target.argmax())]
    else:
        right = [] if unlabeled else np.flatnonzero(target >= 0.5).tolist()
    return None if list(labels) == right else f"labels {list(labels)} where the target says {right}"


class _ChecksumReader:
    """Checksums what is read through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.num_bytes = 0
        self.crc32c = 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.num_bytes += len(data)
        self.crc32c = google_crc32c.extend(self.crc32c, data)
        return data
