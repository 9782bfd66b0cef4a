"""Checks what a dataset says of the version that it grew out of, where that is still there."""

from typing import TYPE_CHECKING

import numpy as np

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    FEATURES_FILE,
    Lineage,
    Manifest,
    ShardInfo,
    Targets,
    load_manifest,
    load_records,
)

if TYPE_CHECKING:
    import pandas


def check_lineage(dataset_dir: str, manifest: Manifest, records: "pandas.DataFrame") -> str:
    """Compare the last step with the manifest, and with the older version beside the dataset.

    Args:
        dataset_dir: the dataset's directory.
        manifest: the dataset's, with a lineage.
        records: the dataset's index.

    Returns:
        A line that says what was compared.

    Raises:
        OrchardError: they contradict each other; names the shard or id.
    """
    step = manifest.lineage[-1]
    _check_shards(manifest, step)
    base_dir = storage.join(storage.parent(storage.normalize(dataset_dir)), step.version)
    what = (
        f"grew out of {step.version} (fingerprint {step.fingerprint[:16]}): {step.added} records "
        f"added, {step.relabeled} with other labels, {step.withdrawn} withdrawn"
    )
    if not storage.exists(storage.join(base_dir, FEATURES_FILE)):
        return f"{what}; that version is not beside it, so nothing is compared with it"
    base = load_manifest(base_dir)
    if base.fingerprint != step.fingerprint:
        return f"{what}; the {step.version} beside it is another, so nothing is compared with it"
    _check_taken_over(manifest, base, step)
    _check_records(records, load_records(base_dir), step, len(manifest.class_names))
    return f"{what}; splits, shards and counts agree with the {step.version} beside it"


def _shards(manifest: Manifest) -> dict[str, ShardInfo]:
    return {one.file: one for split in manifest.splits.values() for one in split.shards}


def _check_shards(manifest: Manifest, step: Lineage) -> None:
    unknown = sorted(step.shards.keys() - _shards(manifest).keys())
    counts = (step.kept_shards + step.rewritten_shards, step.new_shards)
    found = (len(step.shards), len(_shards(manifest)) - len(step.shards))
    if unknown or counts != found:
        raise OrchardError(
            f"the manifest's lineage has {counts[0]} old and {counts[1]} new shards, its splits "
            f"{found[0]} and {found[1]}"
        )


def _check_taken_over(manifest: Manifest, base: Manifest, step: Lineage) -> None:
    now, before = _shards(manifest), _shards(base)
    kept = 0
    for file, source in step.shards.items():
        if source not in before:
            raise OrchardError(f"{file} is of {source}, which {step.version} does not have")
        one, other = now[file], before[source]
        kept += (one.num_bytes, one.crc32c) == (other.num_bytes, other.crc32c)
    # A rewritten shard may come out the same.
    if kept < step.kept_shards:
        raise OrchardError(
            f"{step.kept_shards} shards were taken over from {step.version}, but only {kept} are "
            "the same there"
        )


def _check_records(
    records: "pandas.DataFrame", before: "pandas.DataFrame", step: Lineage, num_classes: int
) -> None:
    before = before.set_index("id", drop=False)
    old = records[records["id"].isin(before.index)]
    was = before.loc[old["id"]]
    moved = np.flatnonzero(old["split"].to_numpy() != was["split"].to_numpy())
    if len(moved):
        one, other = old.iloc[moved[0]], was.iloc[moved[0]]
        raise OrchardError(
            f"{one['id']!r} is in split {one['split']!r}, and was in {other['split']!r} of "
            f"{step.version}"
        )
    relabeled = 0
    if len(old):
        now, then = (Targets.of_index(rows, num_classes).values for rows in (old, was))
        relabeled = int((now != then).reshape(len(old), -1).any(1).sum())
    found = (len(records) - len(old), relabeled, len(before) - len(old))
    if found != (step.added, step.relabeled, step.withdrawn):
        raise OrchardError(
            f"the manifest's lineage says {step.added} records added, {step.relabeled} relabeled "
            f"and {step.withdrawn} withdrawn, the indexes {found[0]}, {found[1]} and {found[2]}"
        )
