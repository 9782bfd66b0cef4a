"""What the pre-flight found, to a plan: duplicates, splits, shards."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.checks import CSV_FLAGS, Survey, image_options, quarantine
from data_prep.config import PrepConfig
from data_prep.images import choose_samples
from data_prep.labels import quarantine_csv
from data_prep.plan import duplicates, splits
from data_prep.plan import shards as plan
from data_prep.plan.shards import Plan, ShardRows
from data_prep.plan.versions import deciding_versions
from data_prep.publish import Staging

# Bytes a pixel of a JPEG of quality 95, for the rare dataset that is converted and has no sample.
_USUAL_BYTES_PER_PIXEL = 0.5


@dataclass(frozen=True)
class Assignment:
    """Which usable rows go to which split, and which of them are the same image.

    splits: name -> rows of the table the split comes from, in record order; identical, near: sets
    of rows of the label table; identical_across: (row of the label table, row of the test table)
    with one content.
    """

    splits: dict[str, np.ndarray]
    identical: list[np.ndarray]
    near: list[np.ndarray]
    identical_across: list[tuple[int, int]]


def assign_splits(surveys: Sequence[Survey], config: PrepConfig) -> Assignment:
    """Deal the usable rows out to splits.

    Raises:
      OrchardError: a split would be empty.
    """
    main = surveys[0]
    rows = np.flatnonzero(main.usable)
    facts = main.facts[rows]
    content = duplicates.same(facts["sha256"])
    pairs = np.zeros((0, 2), np.int64)
    if config.near_duplicates:
        pairs = duplicates.near_pairs(facts["difference_hash"])
    result = {name: rows[at] for name, at in _split(main, rows, content, pairs, config).items()}
    ordered = {name: _order(main, at, name, config.seed) for name, at in result.items()}
    if len(surveys) > 1:
        ordered["test"] = _order(surveys[1], np.flatnonzero(surveys[1].usable), "test", config.seed)
    plan.check_splits(ordered)
    near = duplicates.merge(len(rows), [content], pairs) if len(pairs) else content
    return Assignment(
        splits=ordered,
        identical=[rows[group] for group in duplicates.repeated(content)],
        near=[rows[g] for g in duplicates.repeated(near) if len(set(content[g].tolist())) > 1],
        identical_across=_identical_across(surveys),
    )


def _split(
    main: Survey, rows: np.ndarray, content: np.ndarray, pairs: np.ndarray, config: PrepConfig
) -> dict[str, np.ndarray]:
    """Positions within `rows` of each split."""
    if not config.folds and not config.eval_fraction:
        return {"train": np.arange(len(rows))}
    numberings = [content]
    if main.table.groups is not None:
        # A row whose cell is empty belongs to no other. NUL is in no cell of a CSV.
        cells = [main.table.groups[row] or f"\0{row}" for row in rows]
        numberings.append(duplicates.same(cells))
    groups = duplicates.merge(len(rows), numberings, pairs)
    order = plan.hashed_order([main.table.ids[row] for row in rows], "splits", config.seed)
    arguments = (main.table.targets[rows], main.table.task, groups, order)
    if config.folds:
        folds = splits.assign_folds(*arguments, config.folds, config.seed)
        return {f"fold{fold}": np.flatnonzero(folds == fold) for fold in range(config.folds)}
    held = splits.holdout(*arguments, config.eval_fraction, config.seed)
    return {"train": np.flatnonzero(~held), "eval": np.flatnonzero(held)}


def _order(survey: Survey, rows: np.ndarray, split: str, seed: int) -> np.ndarray:
    return rows[plan.hashed_order([survey.table.ids[row] for row in rows], split, seed)]


def _identical_across(surveys: Sequence[Survey]) -> list[tuple[int, int]]:
    if len(surveys) < 2:
        return []
    first: dict[bytes, int] = {}
    for row in np.flatnonzero(surveys[0].usable).tolist():
        first.setdefault(surveys[0].facts["sha256"][row].tobytes(), row)
    pairs = []
    for row in np.flatnonzero(surveys[1].usable).tolist():
        other = first.get(surveys[1].facts["sha256"][row].tobytes())
        if other is not None:
            pairs.append((other, row))
    return pairs


def build_plan(
    surveys: Sequence[Survey], assignment: Assignment, config: PrepConfig, staging: Staging
) -> Plan:
    """The plan of all shards, splits in the order of `assignment.splits`."""
    shards: dict[int, ShardRows] = {}
    spool = False
    for split, rows in assignment.splits.items():
        source = surveys[1] if split == "test" else surveys[0]
        total_bytes = int(_record_bytes(source, config)[rows].sum())
        count = plan.num_shards(total_bytes, len(rows), config.shard_mb, config.hosts)
        edges = plan.boundaries(len(rows), count)
        for index in range(count):
            part = _shard_rows(source, split, index, count, rows[edges[index] : edges[index + 1]])
            spool = spool or bool((part.spool_offset >= 0).any())
            shards[len(shards)] = part
    pictured = choose_samples([rows.targets for rows in shards.values()])
    for index, positions in enumerate(pictured):
        shards[index] = dataclasses.replace(shards[index], pictured=positions)
    result = Plan(
        dataset=config.name,
        task=surveys[0].table.task,
        images_dir=surveys[0].root,
        test_images_dir=surveys[-1].root,
        files_dir=staging.files_dir,
        receipts_dir=staging.receipts_dir,
        spool_path=staging.spool_path if spool else None,
        options=image_options(config),
        fingerprints=(),
        shards=shards,
    )
    prints = tuple(_name_bytes(result, rows) for rows in shards.values())
    return dataclasses.replace(result, fingerprints=prints)


def _name_bytes(result: Plan, rows: ShardRows) -> str:
    """A shard's fingerprint, with the versions of the encoders where anything is encoded.

    What another version wrote before an interruption must be written again.
    """
    content = plan.fingerprint_shard(result, rows)
    if not rows.reencode.any():
        return content
    return hashlib.sha256(json.dumps([content, deciding_versions()]).encode()).hexdigest()


def _record_bytes(survey: Survey, config: PrepConfig) -> np.ndarray:
    """Estimate of each record's bytes: exact for what passes through, else by the sample."""
    facts = survey.facts
    width, height = (facts[side].astype(np.float64) for side in ("width_px", "height_px"))
    short, long = np.minimum(width, height), np.maximum(width, height)
    square = config.square_px or np.inf
    pixels = np.minimum(width, square) * np.minimum(height, square)
    for limit, side in ((config.short_side_px, short), (config.max_side_px, long)):
        if limit:
            pixels *= np.minimum(1, limit / np.maximum(side, 1)) ** 2
    known = facts["record_bytes"].astype(np.float64)
    sampled = facts["reencode"] & (known > 0)
    density = (
        known[sampled].sum() / pixels[sampled].sum() if sampled.any() else _USUAL_BYTES_PER_PIXEL
    )
    return np.where(known > 0, known, pixels * density)


def _shard_rows(survey: Survey, split: str, index: int, count: int, rows: np.ndarray) -> ShardRows:
    facts, table = survey.facts[rows], survey.table
    return ShardRows(
        split=split,
        index=index,
        count=count,
        ids=tuple(table.ids[row] for row in rows.tolist()),
        files=tuple(survey.files[row] for row in rows.tolist()),
        csv_rows=table.csv_rows[rows],
        targets=table.targets[rows],
        num_bytes=facts["num_bytes"].copy(),
        crc32c=facts["crc32c"].copy(),
        sha256=facts["sha256"].copy(),
        reencode=facts["reencode"].copy(),
        spool_offset=facts["spool_offset"].copy(),
    )


def input_facts(surveys: Sequence[Survey]) -> dict[str, Any]:
    """What the manifest says of the inputs: digests and counts, no paths."""
    result: dict[str, Any] = {}
    bad_rows = quarantine(surveys)
    for name, survey in zip(CSV_FLAGS, surveys, strict=False):
        problems = [problem for problem in bad_rows if problem.file == name]
        files = [survey.files[row] for row in np.flatnonzero(survey.usable).tolist()]
        images = hashlib.sha256(json.dumps(files).encode())
        images.update(survey.facts["sha256"][survey.usable].tobytes())
        result[name] = {
            "sha256": survey.table.sha256,
            "rows": len(survey.table.ids),
            "rows_left_out": int((~survey.usable).sum()),
            "quarantine_sha256": hashlib.sha256(quarantine_csv(problems)).hexdigest(),
            "images_sha256": images.hexdigest(),
            "label_shape": survey.table.shape,
        }
    return result
