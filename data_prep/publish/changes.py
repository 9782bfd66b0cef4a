"""The settings and inputs of a run, and how they differ from those of an earlier run."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.checks import CheckedImages, hex_digests
from data_prep.config import PrepConfig
from data_prep.plan import Plan, deciding_versions
from data_prep.publish.manifests import dataset_fingerprint
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import TFRECORD, Manifest, Targets, load_manifest, load_records

_FILE = "given.json"
# By id: the digest of the image's file, and what says its labels.
_Rows = dict[str, tuple[str, bytes]]


@dataclass(frozen=True)
class Given:
    """What decides the result of a run.

    Attributes:
        settings: those that decide the data.
        versions: of the libraries that decide it.
        class_names: in the order of the targets.
        num_rows: usable rows, by the flag of their CSV.
    """

    settings: dict[str, Any]
    versions: dict[str, str]
    class_names: list[str]
    num_rows: dict[str, int]

    @classmethod
    def of_run(cls, config: PrepConfig, images: CheckedImages) -> "Given":
        """What decides the result of the present run."""
        return cls(
            settings=config.settings(),
            versions=deciding_versions(config.file_format),
            class_names=list(images.labelled.table.class_names),
            num_rows={flag: int(one.usable.sum()) for flag, one in images.by_flag.items()},
        )

    @classmethod
    def of_dataset(cls, manifest: Manifest) -> "Given":
        """What decided the content of a finished dataset."""
        versions = manifest.library_versions
        file_format = manifest.settings.get("file_format", TFRECORD.name)
        return cls(
            settings=manifest.settings,
            versions={name: versions.get(name, "") for name in deciding_versions(file_format)},
            class_names=list(manifest.class_names),
            num_rows={
                flag: facts["rows"] - facts["rows_left_out"]
                for flag, facts in manifest.inputs.items()
            },
        )


def save_given(given: Given, directory: str) -> None:
    """Keep `given` beside an unfinished dataset."""
    data = storage.json_bytes(dataclasses.asdict(given))
    storage.write_bytes(storage.join(directory, _FILE), data, durable=False)


def load_given(directory: str) -> Given | None:
    """The `Given` of an earlier, unfinished run; None if it is missing or damaged."""
    path = storage.join(directory, _FILE)
    if not storage.exists(path):
        return None
    try:
        return Given(**storage.read_json(path))
    except (OrchardError, TypeError):
        # It only helps to explain; the shards are judged by their receipts and checksums.
        return None


def describe_changes(before: Given, now: Given) -> list[str]:
    """One phrase for each setting, version, class and number of rows that differs."""
    phrases = []
    for name in sorted(before.settings.keys() | now.settings.keys()):
        was, value = before.settings.get(name), now.settings.get(name)
        if was != value:
            phrases.append(f"--{name.removesuffix('_px')} was {_shown(was)}, now {_shown(value)}")
    for name, version in now.versions.items():
        if (was := before.versions.get(name)) != version:
            phrases.append(f"{name} was {was}, now {version}")
    came = [name for name in now.class_names if name not in before.class_names]
    went = [name for name in before.class_names if name not in now.class_names]
    phrases += _counted("class was added", "classes were added", came)
    phrases += _counted("class was removed", "classes were removed", went)
    if not came and not went and before.class_names != now.class_names:
        phrases.append("the classes are in another order")
    for flag in sorted(before.num_rows.keys() | now.num_rows.keys()):
        was, count = before.num_rows.get(flag, 0), now.num_rows.get(flag, 0)
        if was != count:
            phrases.append(f"--{flag} had {was} usable rows, now {count}")
    return phrases


def check_finished(dataset_dir: str, config: PrepConfig, images: CheckedImages, plan: Plan) -> None:
    """Return when the published dataset is what this run would make, and is undamaged.

    Raises:
        OrchardError: it was made from something else; names the differences and what to do.
    """
    published = load_manifest(dataset_dir)
    if published.fingerprint != dataset_fingerprint(config, images, plan):
        before, now = Given.of_dataset(published), Given.of_run(config, images)
        phrases = describe_changes(before, now)
        phrases += _row_changes(
            dataset_dir, published, images, before.class_names == now.class_names
        )
        phrases = phrases or ["other row numbers, files or bad rows, or by another Orchard"]
        raise OrchardError(
            f"{dataset_dir} is finished and was made of other things: {'; '.join(phrases)}; "
            "pass a new --version, or --overwrite to replace it"
        )
    shards = [shard for split in published.splits.values() for shard in split.shards]
    files = {shard.file: shard for shard in shards} | published.files
    paths = [storage.join(dataset_dir, name) for name in files]
    for (name, info), found in zip(files.items(), storage.sizes_and_crc32cs(paths), strict=True):
        if found != (info.num_bytes, info.crc32c):
            raise OrchardError(
                f"{dataset_dir} is finished, but {name} is missing or damaged; pass "
                "--overwrite to write the dataset again"
            )


def _row_changes(
    dataset_dir: str, published: Manifest, images: CheckedImages, same_classes: bool
) -> Iterator[str]:
    """One phrase for each kind of difference between a dataset's rows and the present ones."""
    records = load_records(dataset_dir)
    # Older datasets have vectors of any number of classes.
    targets = Targets.of_index(records, len(published.class_names)).compacted(published.task)
    before: _Rows = {
        image_id: (digest, targets.key_of(row))
        for row, (image_id, digest) in enumerate(
            zip(records["id"], records["source_sha256"], strict=True)
        )
    }
    now: _Rows = {}
    for one in images.all:
        digests = hex_digests(one.facts["sha256"]).astype(str).tolist()
        for row in np.flatnonzero(one.usable).tolist():
            now[one.table.ids[row]] = (digests[row], one.table.targets.key_of(row))
    both = [image_id for image_id in before if image_id in now]
    content = [image_id for image_id in both if before[image_id][0] != now[image_id][0]]
    labels = [image_id for image_id in both if before[image_id][1] != now[image_id][1]]
    yield from _counted("row was added", "rows were added", [i for i in now if i not in before])
    yield from _counted("row was removed", "rows were removed", [i for i in before if i not in now])
    yield from _counted("image has other content", "images have other content", content)
    if same_classes:
        yield from _counted("row has other labels", "rows have other labels", labels)


def _counted(one: str, many: str, names: list[str]) -> list[str]:
    if not names:
        return []
    return [f"{len(names)} {one if len(names) == 1 else many} (first {names[0]!r})"]


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
