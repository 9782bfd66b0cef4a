"""The published version of a dataset that a new one extends (`--extends`)."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.config import PrepConfig, default_settings
from data_prep.labels import LabelTable
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    RECORDS_FILE,
    Lineage,
    Manifest,
    Targets,
    load_manifest,
)
from orchard.formats.arrow_columns import numbers
from orchard.formats.manifest import DIFFERENCE_HASH_COLUMN, REPEATS_COLUMN, read_index

if TYPE_CHECKING:
    import pyarrow

# Settings of these groups must stay: records of one dataset are made, and dealt out, in one way.
_FIXED_GROUPS = ("splits", "images")
# A shard that is taken over keeps its form.
_FIXED = ("file_format",)
# But these say which rows and files are taken.
_FREE = ("on_bad", "max_pixels")
_MAX_NAMED = 20
# What always helps where a version cannot be extended.
ANEW = "leave --extends out to prepare everything anew"


@dataclass(frozen=True, eq=False)
class Base:
    """The version that is extended; arrays have one entry a record, in the order of its index.

    Attributes:
        directory: where it is.
        manifest: what it says of itself.
        ids: of the records.
        splits: their names, object [n].
        shards: int64 [n], which shard of the split.
        positions: int64 [n], which record of the shard.
        lengths: int64 [n], bytes of the serialized Example.
        image_crc32c: uint32 [n], of the JPEG in the record.
        files: of the images, within their folder.
        sha256: V32 [n], of these files.
        targets: the labels.
        difference_hash: V16 [n]; None where --near_duplicates did not ask for it.
        repeats: int16 [n, further repeats], the fold of each; None without --fold_repeats.
    """

    directory: str
    manifest: Manifest
    ids: tuple[str, ...]
    splits: np.ndarray
    shards: np.ndarray
    positions: np.ndarray
    lengths: np.ndarray
    image_crc32c: np.ndarray
    files: tuple[str, ...]
    sha256: np.ndarray
    targets: Targets
    difference_hash: np.ndarray | None = None
    repeats: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, ids: Sequence[str]) -> np.ndarray:
        """The record of each id, int64 [n]; -1: it is new."""
        known = dict(zip(self.ids, range(len(self)), strict=True))
        rows = map(known.get, ids, itertools.repeat(-1))
        return np.fromiter(rows, np.int64, len(ids))

    @property
    def past(self) -> tuple[Lineage, ...]:
        """How this version came about, as a newer one keeps it."""
        return tuple(dataclasses.replace(step, shards={}) for step in self.manifest.lineage)


def load_base(config: PrepConfig) -> Base | None:
    """The version of `--extends`; None without.

    Raises:
        OrchardError: there is none, it is damaged, or the settings are not those it was made with.
    """
    if not config.extends:
        return None
    manifest = load_manifest(config.extends)
    _check_settings(config, manifest)
    path = storage.join(config.extends, RECORDS_FILE)
    info = manifest.files.get(RECORDS_FILE)
    if info and storage.size_and_crc32c(path) != (info.num_bytes, info.crc32c):
        raise OrchardError(f"{path} is missing or damaged; {ANEW}")
    return _base(config, manifest, read_index(config.extends))


def _check_settings(config: PrepConfig, manifest: Manifest) -> None:
    if manifest.name != config.name:
        raise OrchardError(
            f"--name={config.name}, but {config.extends} is a version of {manifest.name}; pass "
            f"--name={manifest.name}"
        )
    if manifest.version == config.version:
        raise OrchardError(
            f"--version={config.version} is the version that it extends; pass a higher one"
        )
    now, defaults = config.settings(), default_settings()
    for flag in config.flag_fields():
        is_fixed = flag.group in _FIXED_GROUPS or flag.field in _FIXED
        if not is_fixed or flag.field in _FREE:
            continue
        default = defaults.get(flag.field, flag.default)
        was, value = (one.get(flag.field, default) for one in (manifest.settings, now))
        if was != value:
            advice = "leave it out" if was == default else f"pass {_flag(flag.name, was)}"
            raise OrchardError(
                f"--{flag.name}={_shown(value)}, but {config.extends} was prepared with "
                f"{_flag(flag.name, was)}; {advice}, or {ANEW}"
            )


def _flag(name: str, value: Any) -> str:
    return f"--{name}" if value is True else f"--{name}={_shown(value)}"


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def _base(config: PrepConfig, manifest: Manifest, records: "pyarrow.Table") -> Base:
    if config.near_duplicates and DIFFERENCE_HASH_COLUMN not in records.column_names:
        raise OrchardError(
            f"{config.extends} was prepared by an Orchard that kept no hashes to find near "
            f"duplicates by; {ANEW}"
        )
    sizes = [shard.num_records for one in manifest.splits.values() for shard in one.shards]
    if sum(sizes) != len(records):
        raise OrchardError(
            f"{config.extends}: its index has {len(records)} records, its manifest {sum(sizes)}; "
            f"{ANEW}"
        )
    hashes, repeats = None, None
    if config.near_duplicates:
        hashes = _digests(records[DIFFERENCE_HASH_COLUMN].to_pylist(), 16)
    if config.fold_repeats > 1:
        repeats = numbers(records[REPEATS_COLUMN]).astype(np.int16).reshape(len(records), -1)
    return Base(
        directory=config.extends,
        manifest=manifest,
        ids=tuple(records["id"].to_pylist()),
        splits=np.array(records["split"].to_pylist(), object),
        shards=numbers(records["shard"]).astype(np.int64),
        positions=np.concatenate([np.arange(size) for size in sizes]),
        lengths=numbers(records["length"]).astype(np.int64),
        image_crc32c=numbers(records["image_crc32c"]),
        files=tuple(records["source_file"].to_pylist()),
        sha256=_digests(records["source_sha256"].to_pylist(), 32),
        targets=Targets.of_arrow(records, len(manifest.class_names)),
        difference_hash=hashes,
        repeats=repeats,
    )


def _digests(texts: Sequence[str], num_bytes: int) -> np.ndarray:
    """Hexadecimal digests as V [n]."""
    return np.frombuffer(bytes.fromhex("".join(texts)), f"V{num_bytes}")


def check_labels(base: Base, table: LabelTable) -> None:
    """Refuse labels that the old records could not have.

    Raises:
        OrchardError: other classes, another task, or soft labels where the records have none.
    """
    old, new = base.manifest.class_names, table.class_names
    if old != new:
        names = "the classes of its features.json"
        if len(old) <= _MAX_NAMED:
            names = f"--class_names={','.join(old)}"
        raise OrchardError(
            f"{table.file}: {_class_changes(old, new)} against {base.directory}; if these are the "
            f"classes all the same, pass {names}, or {ANEW}"
        )
    if base.manifest.task != table.task:
        raise OrchardError(
            f"{table.file} is {table.task}, {base.directory} is {base.manifest.task}; correct the "
            f"labels, or {ANEW}"
        )
    if base.targets.are_classes and not table.targets.are_classes:
        raise OrchardError(
            f"{table.file} has soft labels, and the records of {base.directory} hold one class "
            f"each; correct the labels, or {ANEW}"
        )


def _class_changes(old: Sequence[str], new: Sequence[str]) -> str:
    def named(names: list[str], what: str) -> Iterator[str]:
        if names:
            yield f"{len(names)} {'class' if len(names) == 1 else 'classes'} {what} ({names[0]!r})"

    phrases = [
        *named([name for name in new if name not in old], "more"),
        *named([name for name in old if name not in new], "less"),
    ]
    return " and ".join(phrases) or "the classes are in another order"
