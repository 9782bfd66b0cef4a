"""A dataset that grows: old records stay where they are, new ones join them or fill the splits up.

A new row that belongs together with old ones (by content, group or look) goes to their split; where
it cannot, it is a bad row. All others are dealt out so that each split has its share of each class,
old rows included. Each old shard stays a shard; new rows are in shards after them.
"""

import dataclasses
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.base import ANEW, Base
from data_prep.checks import CheckedImages, CheckedTable
from data_prep.config import PrepConfig
from data_prep.labels import LabelTable, Problem, hashed_order
from data_prep.plan import duplicates
from data_prep.plan.shards import OldRecords, Plan, PlannedShard
from data_prep.plan.splits import Filled, Rows, fill_up
from orchard.errors import OrchardError
from orchard.formats import Lineage, SplitKind, fold_name, fold_number

_NONE = -1


@dataclass(frozen=True)
class _Ties:
    """What new rows of the labeled table belong together with; arrays have one entry a new row.

    Attributes:
        rows: the new rows that are usable.
        units: rows of one number belong together.
        home: an old record that the row belongs together with, or -1.
        other: an old record like `home` that is dealt out otherwise, or -1.
    """

    rows: np.ndarray
    units: np.ndarray
    home: np.ndarray
    other: np.ndarray


def leave_out_moves(images: CheckedImages) -> CheckedImages:
    """The same; rows that would move an image between splits have a problem that says so."""
    base = images.base
    if base is None:
        return images
    labelled = images.labelled.with_problems(
        [*_moved(images.labelled, base), *_torn(images.labelled, base)]
    )
    test = images.test and images.test.with_problems(list(_moved(images.test, base)))
    return dataclasses.replace(images, labelled=labelled, test=test)


def _moved(checked: CheckedTable, base: Base) -> Iterator[Problem]:
    """Old rows of another split than they were in."""
    table = checked.table
    rows = np.flatnonzero(checked.usable & (checked.base_rows >= 0))
    was = base.splits[checked.base_rows[rows]]
    if table.splits is not None:
        now = np.array([table.splits[row] for row in rows], object)
    elif table.shape == "ids":
        now = np.full(len(rows), str(SplitKind.TEST), object)
    else:
        now = np.where(was == SplitKind.TEST, "a split with labels", was)
    for at in np.flatnonzero(now != was).tolist():
        yield _problem(
            table,
            int(rows[at]),
            f"it was in split {was[at]!r} of {base.manifest.version}, now {now[at]!r}",
        )


def _torn(checked: CheckedTable, base: Base) -> Iterator[Problem]:
    """New rows that belong to another split than theirs, or to several."""
    table, ties = checked.table, _ties(checked, base)
    for at in np.flatnonzero(ties.home != _NONE).tolist():
        row, home, other = int(ties.rows[at]), ties.home[at], ties.other[at]
        split = base.splits[home]
        text = f"it belongs together with {base.ids[home]!r} of split {split!r}"
        if other != _NONE:
            split_of_other = base.splits[other]
            repeat = " (of another fold in a repeat)" if split_of_other == split else ""
            yield _problem(
                table, row, f"{text} and {base.ids[other]!r} of {split_of_other!r}{repeat}"
            )
        elif table.splits is not None:
            if table.splits[row] != split:
                yield _problem(table, row, f"{text}, its own is {table.splits[row]!r}")
        elif split == SplitKind.TEST:
            yield _problem(table, row, f"{text}, which is not for training")


def _problem(table: LabelTable, row: int, detail: str) -> Problem:
    return Problem(
        table.file, int(table.csv_rows[row]), table.ids[row], "would move between splits", detail
    )


def _ties(checked: CheckedTable, base: Base) -> _Ties:
    rows, num_old = np.flatnonzero(checked.opened), len(base)
    facts = checked.facts[rows]
    numberings = [duplicates.same(np.concatenate([base.sha256, facts["sha256"]]))]
    if checked.table.groups is not None:
        numberings.append(_group_numbers(checked, checked.table.groups, rows, num_old))
    pairs = np.zeros((0, 2), np.int64)
    if base.difference_hash is not None and len(rows):
        hashes = facts["difference_hash"]
        near = duplicates.maybe_near(base.difference_hash, hashes)
        nodes = np.concatenate([near, num_old + np.arange(len(rows))])
        pairs = nodes[duplicates.near_pairs(np.concatenate([base.difference_hash[near], hashes]))]
    if len(numberings) == 1 and not len(pairs):
        (units,) = numberings  # Without SciPy, whose import takes longer than all the rest.
    else:
        units = duplicates.merge(num_old + len(rows), numberings, pairs)
    old_units, places = units[:num_old], _places(base)
    everyone = np.arange(num_old)
    home = _first(old_units, everyone, len(units))
    elsewhere = places != places[home[old_units]]
    other = _first(old_units[elsewhere], everyone[elsewhere], len(units))
    units = units[num_old:]
    return _Ties(rows, units, home[units], other[units])


def _group_numbers(
    checked: CheckedTable, groups: Sequence[str], rows: np.ndarray, num_old: int
) -> np.ndarray:
    """Old records, then new rows; without a group each has a number of its own."""
    # NUL is in no cell of a CSV.
    cells = [f"\0{node}" for node in range(num_old + len(rows))]
    old = np.flatnonzero(checked.usable & (checked.base_rows >= 0))
    nodes = [*checked.base_rows[old].tolist(), *range(num_old, len(cells))]
    for node, row in zip(nodes, [*old.tolist(), *rows.tolist()], strict=True):
        cells[node] = groups[row] or cells[node]
    return duplicates.same(cells)


def _places(base: Base) -> np.ndarray:
    """int64 [old records]: records of one number are in one split, and one fold of each repeat."""
    numbers = {name: number for number, name in enumerate(base.manifest.splits)}
    splits = np.fromiter(map(numbers.__getitem__, base.splits), np.int64, len(base))
    if base.repeats is None:
        return splits
    places = np.concatenate([splits[:, None], base.repeats], 1)
    return np.unique(places, axis=0, return_inverse=True)[1].ravel()


def _first(units: np.ndarray, records: np.ndarray, num_units: int) -> np.ndarray:
    """The first record of each unit, or -1."""
    missing = np.iinfo(np.int64).max
    result = np.full(num_units, missing)
    np.minimum.at(result, units, records)
    return np.where(result == missing, _NONE, result)


def place(
    checked: CheckedTable, base: Base, config: PrepConfig
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Which of the usable rows each split has; their folds in further repeats, -1: in none.

    Args:
        checked: the labeled rows, without any that would move.
        base: what is extended.
        config: the settings.
    """
    rows = np.flatnonzero(checked.usable)
    ties, records = _ties(checked, base), checked.base_rows[rows].copy()
    new = np.searchsorted(rows, ties.rows)
    records[new] = ties.home
    names = np.where(records == _NONE, "", base.splits[records]).astype(object)
    loose = new[ties.home == _NONE]
    free = Rows(
        targets=checked.table.targets[rows[loose]],
        task=checked.table.task,
        groups=ties.units[ties.home == _NONE],
        order=_order(checked, rows[loose], config.seed),
    )
    settled = np.delete(np.arange(len(rows)), loose)
    there = checked.table.targets[rows[settled]]
    if checked.table.splits is not None:
        names[loose] = [checked.table.splits[row] for row in rows[loose]]
    elif len(loose):
        share_of = _shares(config)
        splits = np.array(list(share_of), object)
        filled = Filled.of(there, free.task, names[settled], splits, list(share_of.values()))
        names[loose] = splits[fill_up(free, filled)]
    repeats = None
    if base.repeats is not None:
        repeats = np.where((records == _NONE)[:, None], _NONE, base.repeats[records])
        # Those of the holdout are in no fold of any repeat.
        dealt = names[loose] != SplitKind.HOLDOUT
        folds, shares = np.arange(config.folds), [1 / config.folds] * config.folds
        for repeat, column in enumerate(repeats.T, start=1):
            filled = Filled.of(there, free.task, column[settled], folds, shares)
            order = _order(checked, rows[loose[dealt]], (config.seed + repeat) % 2**32)
            inner = dataclasses.replace(free.chosen(np.flatnonzero(dealt)), order=order)
            column[loose[dealt]] = fill_up(inner, filled)
    more = set(names) - set(base.manifest.splits)
    ordered = [
        *base.manifest.splits,
        *sorted(more, key=lambda name: (fold_number(name) or 0, name)),
    ]
    numbers = {name: number for number, name in enumerate(ordered)}
    split = np.fromiter(map(numbers.__getitem__, names), np.int64, len(names))
    found = {name: np.flatnonzero(split == number) for name, number in numbers.items()}
    # The table of the test rows has its own, unless a column of this one gives them.
    return {name: at for name, at in found.items() if len(at) or name != SplitKind.TEST}, repeats


def _order(checked: CheckedTable, rows: np.ndarray, seed: int) -> np.ndarray:
    return hashed_order([checked.table.ids[row] for row in rows], "splits", seed)


def _shares(config: PrepConfig) -> dict[str, float]:
    """The share of all rows that each split is to have."""
    rest = 1 - config.holdout_fraction
    if config.folds:
        shares = {fold_name(k): rest / config.folds for k in range(config.folds)}
    else:
        shares = {str(SplitKind.TRAIN): rest - config.eval_fraction}
        if config.eval_fraction:
            shares[SplitKind.EVAL] = config.eval_fraction
    if config.holdout_fraction:
        shares[SplitKind.HOLDOUT] = config.holdout_fraction
    return shares


def refuse_lost_splits(base: Base, splits: Container[str]) -> None:
    """Refuse a new version without a split that the old one has."""
    for name in base.manifest.splits:
        if name not in splits:
            advice = "pass --test_csv" if name == SplitKind.TEST else "add rows of it"
            raise OrchardError(
                f"the split {name!r} of {base.directory} would be gone; {advice}, or {ANEW}"
            )


def by_old_shard(checked: CheckedTable, rows: np.ndarray, base: Base) -> list[np.ndarray]:
    """Old rows of one split, in the order of their records, cut where a shard ends."""
    shards = base.shards[checked.base_rows[rows]]
    return np.split(rows, np.flatnonzero(np.diff(shards)) + 1) if len(rows) else []


def from_old(shard: PlannedShard, records: np.ndarray, base: Base) -> PlannedShard:
    """A shard of these old records, or of new rows (-1), with where it comes from."""
    if records[0] == _NONE:
        return shard
    was = base.targets.values[records] != shard.targets.values
    return dataclasses.replace(
        shard,
        crc32c=base.image_crc32c[records],
        old=OldRecords(
            shard=base.manifest.splits[shard.split].shards[base.shards[records[0]]],
            positions=base.positions[records],
            lengths=base.lengths[records],
            relabeled=int(was.reshape(len(was), -1).any(1).sum()),
        ),
    )


def lineage(base: Base, planned: Sequence[PlannedShard]) -> tuple[Lineage, ...]:
    """How the old version came about, and the step from it to the new one."""
    old = [(shard, shard.old) for shard in planned if shard.old is not None]
    kept = sum(shard.is_taken_over for shard in planned)
    num_old = sum(len(shard.ids) for shard, _ in old)
    step = Lineage(
        version=base.manifest.version,
        fingerprint=base.manifest.fingerprint,
        library_versions=base.manifest.library_versions,
        kept_shards=kept,
        rewritten_shards=len(old) - kept,
        new_shards=len(planned) - len(old),
        added=sum(len(shard.ids) for shard in planned) - num_old,
        relabeled=sum(records.relabeled for _, records in old),
        withdrawn=len(base) - num_old,
        shards={shard.file: records.shard.file for shard, records in old},
    )
    return (*base.past, step)


def describe_growth(plan: Plan) -> Iterator[str]:
    """A line that says what is new against the version that is extended."""
    for step in plan.lineage[-1:]:
        yield (
            f"extends {step.version}: {step.added} records added, {step.relabeled} with other "
            f"labels, {step.withdrawn} withdrawn; {step.kept_shards} shards taken over, "
            f"{step.rewritten_shards} rewritten, {step.new_shards} new"
        )
