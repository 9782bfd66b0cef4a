"""Plans a dataset from its checked images: duplicates, splits, then shards."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data_prep.base import Base
from data_prep.checks import CheckedImages, CheckedTable
from data_prep.config import PrepConfig
from data_prep.labels import hashed_order
from data_prep.plan import duplicates, growth, shards
from data_prep.plan.samples import choose_samples
from data_prep.plan.shards import Plan, PlannedShard
from data_prep.plan.splits import Rows, assign_folds, holdout
from data_prep.plan.versions import deciding_versions
from orchard.errors import OrchardError
from orchard.formats import SplitKind, fold_name, fold_number, record_format

# Bytes a pixel of a JPEG of quality 95, for the rare dataset that is converted and has no sample.
_USUAL_BYTES_PER_PIXEL = 0.5
_ORDER = {kind: position for position, kind in enumerate(SplitKind)}


@dataclass(frozen=True)
class SplitRows:
    """The rows of one split, in the order of its records, and the table that they are of."""

    table: CheckedTable
    rows: np.ndarray


@dataclass(frozen=True)
class Assignment:
    """Which usable rows go to which split, and which of them are the same image.

    Attributes:
        splits: by name, in the dataset's order.
        identical: sets of rows of the labeled table with one content.
        near: sets of its rows that look alike.
        identical_across: (row of the labeled table, row of the test table) with one content.
        repeats: int16 [rows of the labeled table, further repeats], the fold of each row when they
            are dealt out anew; -1: in none. None without --fold_repeats.
    """

    splits: dict[str, SplitRows]
    identical: list[np.ndarray]
    near: list[np.ndarray]
    identical_across: list[tuple[int, int]]
    repeats: np.ndarray | None = None


def assign_splits(images: CheckedImages, config: PrepConfig) -> Assignment:
    """Deal the usable rows out to splits.

    Raises:
        OrchardError: a split would be empty.
    """
    labelled = images.labelled
    rows = np.flatnonzero(labelled.usable)
    facts = labelled.facts[rows]
    content = duplicates.same(facts["sha256"])
    pairs = np.zeros((0, 2), np.int64)
    if config.near_duplicates:
        pairs = duplicates.near_pairs(facts["difference_hash"])
    if images.base is None:
        dealt = _split(labelled, rows, content, pairs, config)
    else:
        dealt = _Dealt(*growth.place(labelled, images.base, config))
    splits = {
        name: _ordered(labelled, rows[positions], name, config.seed)
        for name, positions in dealt.positions.items()
    }
    if images.test:
        usable = np.flatnonzero(images.test.usable)
        splits[SplitKind.TEST] = _ordered(images.test, usable, SplitKind.TEST, config.seed)
    _refuse_empty(splits)
    if images.base is not None:
        growth.refuse_lost_splits(images.base, splits)
    near = duplicates.merge(len(rows), [content], pairs) if len(pairs) else content
    return Assignment(
        splits=splits,
        identical=[rows[group] for group in duplicates.repeated(content)],
        near=[rows[g] for g in duplicates.repeated(near) if len(set(content[g].tolist())) > 1],
        identical_across=_identical_across(images),
        repeats=_spread(dealt.repeats, rows, len(labelled.usable)),
    )


class _Dealt(NamedTuple):
    """Positions of each split; the fold of each position in further repeats, -1: in none."""

    positions: dict[str, np.ndarray]
    repeats: np.ndarray | None = None


def _split(
    labelled: CheckedTable,
    rows: np.ndarray,
    content: np.ndarray,
    pairs: np.ndarray,
    config: PrepConfig,
) -> _Dealt:
    """Which of `rows` each split has, by their positions."""
    given = labelled.table.splits
    if given is not None:
        names = np.array([given[row] for row in rows.tolist()], object)
        # Folds by their numbers, then the others by the usual order.
        found = sorted(set(names), key=lambda name: (fold_number(name) or 0, _ORDER.get(name, 0)))
        return _Dealt({name: np.flatnonzero(names == name) for name in found})
    if not (config.folds or config.eval_fraction or config.holdout_fraction):
        return _Dealt({SplitKind.TRAIN: np.arange(len(rows))})
    table = labelled.table
    numberings = [content]
    if table.groups is not None:
        # A row whose cell is empty belongs to no other. NUL is in no cell of a CSV.
        cells = [table.groups[row] or f"\0{row}" for row in rows]
        numberings.append(duplicates.same(cells))
    dealt = Rows(
        targets=table.targets[rows],
        task=table.task,
        groups=duplicates.merge(len(rows), numberings, pairs),
        order=hashed_order([table.ids[row] for row in rows], "splits", config.seed),
        times=None if table.times is None else table.times.values[rows],
    )
    if not config.holdout_fraction:
        return _deal_out(dealt, config)
    kept_out = holdout(dealt, config.holdout_fraction, config.seed)
    rest = dealt.order[~kept_out[dealt.order]]
    if not len(rest):
        raise OrchardError(
            f"--holdout_fraction={config.holdout_fraction:g} holds all rows out, which belong "
            "together by their contents, groups or times; leave it out, or choose other groups"
        )
    inner = _deal_out(dealt.chosen(rest), config)
    positions = {name: np.sort(rest[chosen]) for name, chosen in inner.positions.items()}
    return _Dealt(
        {**positions, SplitKind.HOLDOUT: np.flatnonzero(kept_out)},
        _spread(inner.repeats, rest, len(rows)),
    )


def _spread(repeats: np.ndarray | None, rows: np.ndarray, num_rows: int) -> np.ndarray | None:
    """The repeats of some rows as those of all: int16 [num_rows, repeats], -1 for the others."""
    if repeats is None:
        return None
    spread = np.full((num_rows, repeats.shape[1]), -1, np.int16)
    spread[rows] = repeats
    return spread


def _deal_out(dealt: Rows, config: PrepConfig) -> _Dealt:
    """Which rows each fold has, or `train` and `eval`."""
    if config.folds:
        folds = assign_folds(dealt, config.folds, config.seed)
        later = [
            assign_folds(dealt, config.folds, (config.seed + repeat) % 2**32)
            for repeat in range(1, config.fold_repeats)
        ]
        return _Dealt(
            {fold_name(k): np.flatnonzero(folds == k) for k in range(config.folds)},
            np.stack(later, axis=1).astype(np.int16) if later else None,
        )
    if not config.eval_fraction:
        return _Dealt({SplitKind.TRAIN: np.arange(len(dealt.targets))})
    # A share of all rows, not of those that the holdout leaves.
    fraction = config.eval_fraction / (1 - config.holdout_fraction)
    held_out = holdout(dealt, fraction, config.seed)
    return _Dealt(
        {
            SplitKind.TRAIN: np.flatnonzero(~held_out),
            SplitKind.EVAL: np.flatnonzero(held_out),
        }
    )


def _ordered(table: CheckedTable, rows: np.ndarray, split: str, seed: int) -> SplitRows:
    """Old rows as they were, then the new ones in an order of their own."""
    known = table.base_rows[rows]
    old, new = rows[known >= 0], rows[known < 0]
    old = old[np.argsort(table.base_rows[old])]
    order = hashed_order([table.table.ids[row] for row in new], split, seed)
    return SplitRows(table, np.concatenate([old, new[order]]))


def _refuse_empty(splits: dict[str, SplitRows]) -> None:
    for name, split in splits.items():
        if not len(split.rows):
            advice = (
                "no row of --test_csv is usable: correct it, or leave it out"
                if name == SplitKind.TEST
                else "there are too few rows (or groups of rows, or different times) for it: use "
                "fewer folds, another --eval_fraction or --holdout_fraction"
            )
            raise OrchardError(f"the split {name!r} would be empty; {advice}")


def _identical_across(images: CheckedImages) -> list[tuple[int, int]]:
    if images.test is None:
        return []
    first: dict[bytes, int] = {}
    for row in np.flatnonzero(images.labelled.usable).tolist():
        first.setdefault(images.labelled.facts["sha256"][row].tobytes(), row)
    test_rows = np.flatnonzero(images.test.usable).tolist()
    contents = [images.test.facts["sha256"][row].tobytes() for row in test_rows]
    return [
        (first[content], row)
        for row, content in zip(test_rows, contents, strict=True)
        if content in first
    ]


def describe_duplicates(assignment: Assignment, images: CheckedImages) -> Iterator[str]:
    """Lines that say how many images are there more than once."""
    ids = images.labelled.table.ids
    split_of = images.labelled.table.splits
    for what, groups in (
        ("identical", assignment.identical),
        ("nearly identical", assignment.near),
    ):
        if groups:
            rows = sum(len(group) for group in groups)
            first = " and ".join(repr(ids[row]) for row in groups[0][:2])
            counted = f"{len(groups)} group{'' if len(groups) == 1 else 's'}"
            across = [g for g in groups if split_of and len({split_of[row] for row in g}) > 1]
            kept = "each kept in one split"
            if across:
                kept = f"{len(across)} of them across splits, as --split_column has it"
                first = " and ".join(repr(ids[row]) for row in across[0][:2])
            yield f"{rows} {what} images in {counted}, {kept}; first: {first}"
    if assignment.identical_across and images.test:
        count = len(assignment.identical_across)
        one, other = assignment.identical_across[0]
        yield (
            f"{count} test image{'' if count == 1 else 's'} with the content of a labeled one; "
            f"first: {images.test.table.ids[other]!r} and {ids[one]!r}"
        )


def describe_times(assignment: Assignment) -> Iterator[str]:
    """A line for each split that was cut by time: from when to when."""
    for name, split in assignment.splits.items():
        times = split.table.table.times
        if times is not None:
            yield f"split {name}: {len(split.rows)} rows, {times.span(split.rows)}"


def build_plan(images: CheckedImages, assignment: Assignment, config: PrepConfig) -> Plan:
    """The plan of all shards, splits in the order of `assignment.splits`."""
    base = images.base
    are_classes = (base or images.labelled.table).targets.are_classes
    planned = [
        shard
        for name, split in assignment.splits.items()
        for shard in _shards_of_split(name, split, config, are_classes, assignment.repeats, base)
    ]
    task, options = images.labelled.table.task, config.image_options
    pictured = choose_samples([shard.targets for shard in planned])
    contents = [shards.fingerprint_shard(config.name, task, options, shard) for shard in planned]
    return Plan(
        dataset=config.name,
        task=task,
        options=options,
        shards=tuple(
            dataclasses.replace(
                shard,
                pictured=positions,
                content=content,
                fingerprint=_with_encoders(content, shard),
            )
            for shard, positions, content in zip(planned, pictured, contents, strict=True)
        ),
        lineage=() if base is None else growth.lineage(base, planned),
    )


def _with_encoders(content: str, shard: PlannedShard) -> str:
    """A shard's fingerprint, with the versions of the encoders where anything is encoded.

    What another version wrote before an interruption must be written again.
    """
    form = record_format(shard.file)
    if not shard.reencode.any() and not form.packages:
        return content
    versions = deciding_versions(form.name)
    return hashlib.sha256(json.dumps([content, versions]).encode()).hexdigest()


def _record_bytes(checked: CheckedTable, config: PrepConfig) -> np.ndarray:
    """Estimate of each record's bytes: exact for what passes through, else by the sample."""
    facts = checked.facts
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


def _shards_of_split(
    name: str,
    split: SplitRows,
    config: PrepConfig,
    are_classes: bool,
    repeats: np.ndarray | None,
    base: Base | None,
) -> Iterator[PlannedShard]:
    """The shards of one split, without their pictures and fingerprints: old ones, then new ones.

    `are_classes` is the form of the dataset's targets; `repeats` are those of an `Assignment`.
    """
    if repeats is not None and name == SplitKind.TEST:
        repeats = _spread(repeats[:0], np.arange(0), len(split.table.usable))
    checked, table, facts = split.table, split.table.table, split.table.facts
    num_old = int((checked.base_rows[split.rows] >= 0).sum())
    parts = growth.by_old_shard(checked, split.rows[:num_old], base) if base else []
    new = split.rows[num_old:]
    if len(new):
        total_bytes = int(_record_bytes(checked, config)[new].sum())
        num_new = shards.num_shards(total_bytes, len(new), config.shard_mb, config.hosts)
        parts += np.split(new, shards.boundaries(len(new), num_new)[1:-1])
    count = len(parts)
    for index, rows in enumerate(parts):
        shard = PlannedShard(
            split=name,
            index=index,
            count=count,
            file=shards.shard_file_name(config.name, name, index, count, config.file_format),
            ids=tuple(map(table.ids.__getitem__, rows.tolist())),
            files=tuple(map(checked.files.__getitem__, rows.tolist())),
            csv_rows=table.csv_rows[rows],
            targets=table.targets[rows].in_form(are_classes),
            num_bytes=facts["num_bytes"][rows],
            crc32c=facts["crc32c"][rows],
            sha256=facts["sha256"][rows],
            reencode=facts["reencode"][rows],
            spool_offset=facts["spool_offset"][rows],
            repeats=None if repeats is None else repeats[rows],
            difference_hash=facts["difference_hash"][rows] if config.near_duplicates else None,
        )
        yield growth.from_old(shard, checked.base_rows[rows], base) if base else shard
