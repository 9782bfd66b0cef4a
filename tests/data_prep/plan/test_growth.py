"""Growth as a plan: no image is opened, no shard is written."""

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data_prep.base import Base
from data_prep.checks import CheckedImages, CheckedTable
from data_prep.checks.worker import FACTS_DTYPE
from data_prep.labels import LabelTable
from data_prep.plan import (
    assign_splits,
    build_plan,
    describe_duplicates,
    growth,
    leave_out_moves,
)
from data_prep.plan.shards import fingerprint_shard
from data_prep.plan.splits import Filled, Rows, fill_up
from orchard.formats import Lineage, Manifest, ShardInfo, SplitInfo, Targets, Task
from tests.data_prep.builders import config

CLASSES = ("bag", "coat", "shirt")


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a CSV: `content` stands for the bytes of its image."""

    id: str
    label: int
    content: str
    group: str = ""
    split: str = ""


def checked(rows, base=None, num_test=0):
    """What the check finds of these rows; without `base` all are new."""
    table = LabelTable(
        file="labels.csv",
        ids=tuple(row.id for row in rows),
        csv_rows=np.arange(2, len(rows) + 2),
        targets=Targets.of_matrix(np.eye(3, dtype=np.float32)[[row.label for row in rows]]),
        class_names=CLASSES,
        task=Task.SINGLE_LABEL,
        shape="name",
        image_column="id",
        ignored_columns=(),
        groups=tuple(row.group for row in rows),
        problems=(),
        sha256="",
        splits=tuple(row.split for row in rows) if any(row.split for row in rows) else None,
    )
    facts = np.zeros(len(rows), FACTS_DTYPE)
    facts["record_bytes"] = 1000
    for fact, row in zip(facts, rows, strict=True):
        fact["sha256"] = hashlib.sha256(row.content.encode()).digest()
    base_rows = base.rows_of(table.ids) if base else np.full(len(rows), -1)
    files = tuple(f"{row.id}.jpg" for row in rows)
    return CheckedImages(CheckedTable(table, "images", files, facts, (), base_rows), base=base)


def planned(images, **flags):
    settled = config("x", csv="x", images_dir="x", group_column="g", **flags)
    return build_plan(images, assign_splits(images, settled), settled)


def base_of(plan, rows):
    """The version that a plan makes, as its index would have it."""
    by_id = {row.id: row for row in rows}
    ids = [image_id for shard in plan.shards for image_id in shard.ids]
    splits = {
        name: SplitInfo(
            tuple(
                ShardInfo(plan.shards[at].file, len(plan.shards[at].ids), 100 + at, at)
                for at in positions
            ),
            True,
            (0.0, 0.0, 0.0),
        )
        for name, positions in plan.splits.items()
    }
    sizes = [len(shard.ids) for shard in plan.shards]
    digests = [hashlib.sha256(by_id[one].content.encode()).digest() for one in ids]
    manifest = Manifest(
        "clothes", "1.0.0", "f" * 64, Task.SINGLE_LABEL, CLASSES, splits, {}, {}, {}
    )
    repeats = [shard.repeats for shard in plan.shards]
    return Base(
        directory="old",
        manifest=manifest,
        ids=tuple(ids),
        splits=np.repeat([shard.split for shard in plan.shards], sizes).astype(object),
        shards=np.repeat([shard.index for shard in plan.shards], sizes),
        positions=np.concatenate([np.arange(size) for size in sizes]),
        lengths=np.full(len(ids), 1100),
        image_crc32c=np.arange(len(ids), dtype=np.uint32),
        files=tuple(f"{one}.jpg" for one in ids),
        sha256=np.array(digests, "V32"),
        targets=Targets.concatenate([shard.targets for shard in plan.shards]),
        repeats=None if repeats[0] is None else np.concatenate(repeats),
    )


def split_of(plan):
    return {one: shard.split for shard in plan.shards for one in shard.ids}


def label_of(plan):
    return {
        one: int(label)
        for shard in plan.shards
        for one, label in zip(shard.ids, shard.targets.largest, strict=True)
    }


def with_sizes(images, width_px, height_px, record_bytes, reencode=True):
    facts = images.labelled.facts
    facts["width_px"], facts["height_px"], facts["reencode"] = width_px, height_px, reencode
    facts["record_bytes"] = record_bytes
    return images


@pytest.mark.parametrize(
    ("sizes", "record_bytes", "flags", "shards"),
    [
        # 40 records of 1 MB, of which ten were encoded to know it.
        ((1000, 1000), [1_000_000] * 10 + [0] * 30, {"short_side_px": 500, "shard_mb": 4}, 10),
        ((2000, 1000), [1_000_000] * 10 + [0] * 30, {"max_side_px": 500, "shard_mb": 4}, 10),
        ((800, 2000), [1_000_000] * 10 + [0] * 30, {"square_px": 500, "shard_mb": 4}, 10),
        # Smaller than the limits: half a byte a pixel where nothing is known.
        ((500, 400), [0] * 40, {"short_side_px": 500, "shard_mb": 1}, 4),
        ((2000, 1000), [0] * 40, {"short_side_px": 500, "shard_mb": 1}, 10),
        ((2000, 1000), [0] * 40, {"max_side_px": 1000, "shard_mb": 1}, 10),
        ((2000, 1000), [0] * 40, {"square_px": 1500, "shard_mb": 10}, 3),
        ((10, 10), [300_000] * 40, {"shard_mb": 4}, 3),
    ],
)
def test_build_plan_has_shards_for_the_bytes_that_records_will_have(
    sizes, record_bytes, flags, shards
):
    rows = [Row(f"a{at}", at % 3, f"content {at}") for at in range(40)]
    images = with_sizes(checked(rows), *sizes, record_bytes)
    assert len(planned(images, **flags).shards) == shards


def test_build_plan_estimates_large_images_by_the_density_of_small_ones():
    rows = [Row(f"a{at}", at % 3, f"content {at}") for at in range(40)]
    # Of those that are known 200 px are 40,000 bytes; the others have 25 times as many pixels.
    width = [200] * 20 + [1000] * 20
    known = [40_000] * 20 + [0] * 20
    images = with_sizes(checked(rows), width, width, known)
    assert len(planned(images, short_side_px=2000, shard_mb=3).shards) == 7


def test_describe_duplicates_across_given_splits_names_two_of_them():
    rows = [Row(f"a{at}", at % 3, f"content {at}", split=f"fold{at // 2}") for at in range(6)]
    rows += [dataclasses.replace(rows[0], id="b0", split="fold2")]
    rows += [dataclasses.replace(rows[3], id="b3")]
    images = checked(rows)
    settled = config("x", csv="x", images_dir="x", split_column="split")
    assert list(describe_duplicates(assign_splits(images, settled), images)) == [
        "4 identical images in 2 groups, 1 of them across splits, as --split_column has it; "
        "first: 'a0' and 'b0'"
    ]


def test_describe_duplicates_names_two_of_the_first_group():
    rows = [Row(f"a{at}", at % 3, f"content {at}") for at in range(6)]
    rows += [dataclasses.replace(rows[2], id=f"b{at}") for at in range(2)]
    images = checked(rows)
    settled = config("x", csv="x", images_dir="x", folds=2)
    assert list(describe_duplicates(assign_splits(images, settled), images)) == [
        "3 identical images in 1 group, each kept in one split; first: 'a2' and 'b0'"
    ]


@pytest.mark.parametrize(
    ("reencode", "file_format", "has_versions"),
    [(False, "tfrecord", False), (True, "tfrecord", True), (False, "array_record", True)],
)
def test_build_plan_fingerprints_the_versions_of_what_writes(reencode, file_format, has_versions):
    rows = [Row(f"a{at}", at % 3, f"content {at}") for at in range(6)]
    images = with_sizes(checked(rows), 10, 10, 1000, reencode)
    plan = planned(images, file_format=file_format)
    for shard in plan.shards:
        content = fingerprint_shard(plan.dataset, plan.task, plan.options, shard)
        assert (shard.fingerprint != content) == has_versions


@st.composite
def growths(draw):
    """Old rows, and all rows of the next version."""
    count = draw(st.integers(20, 60))
    rows = [
        Row(f"a{at}", draw(st.integers(0, 2)), f"content {max(0, at - draw(st.integers(0, 1)))}")
        for at in range(count)
    ]
    fates = draw(st.lists(st.sampled_from("okkkkwr"), min_size=count, max_size=count))
    kept = [
        dataclasses.replace(row, label=(row.label + 1) % 3) if fate == "r" else row
        for row, fate in zip(rows, fates, strict=True)
        if fate != "w"
    ]
    added = [
        Row(f"n{at}", draw(st.integers(0, 2)), f"content {draw(st.integers(0, 120))}")
        for at in range(draw(st.integers(0, 30)))
    ]
    return rows, draw(st.permutations(kept + added))


@given(growths(), st.integers(1, 3), st.sampled_from([1, 3]))
@settings(max_examples=25, deadline=None)
def test_growth_by_any_rows_has_these_rows_and_moves_no_old_one(growth, hosts, repeats):
    old, new = growth
    flags = {"folds": 3, "hosts": hosts, "fold_repeats": repeats, "holdout_fraction": 0.2}
    before = planned(checked(old), **flags)
    base = base_of(before, old)
    images = leave_out_moves(checked(new, base))
    lost = set(base.manifest.splits) - {base.splits[base.ids.index(r.id)] for r in new if r in old}
    # Otherwise no version comes of it; other tests say how that is told.
    assume(not lost and not images.labelled.problems)
    after = planned(images, **flags)
    assert label_of(after) == {row.id: row.label for row in new}
    was, now = split_of(before), split_of(after)
    assert {one: now[one] for one in now.keys() & was} == {
        one: was[one] for one in now.keys() & was
    }
    # What has the content of an old record is where that is.
    home = {row.content: was[row.id] for row in old}
    assert all(now[row.id] == home[row.content] for row in new if row.content in home)
    labels = {row.id: row.label for row in old}
    kept_ids = {row.id for row in new} & labels.keys()
    (step,) = after.lineage
    assert step.added == len(new) - len(kept_ids)
    assert step.withdrawn == len(old) - len(kept_ids)
    assert step.relabeled == sum(labels[row.id] != row.label for row in new if row.id in labels)
    assert step.kept_shards + step.rewritten_shards + step.new_shards == len(after.shards)
    for shard in after.shards:
        if shard.is_taken_over:
            source = next(one for one in before.shards if one.file == shard.old.shard.file)
            assert shard.ids == source.ids
        elif shard.old is None:
            assert not labels.keys() & set(shard.ids)
        if repeats > 1:
            assert ((shard.repeats == -1) == (shard.split == "holdout")).all()


def one_split_each(**flags):
    """Two rows in each of three splits that the CSV gives, as a base."""
    rows = [Row(f"a{at}", at % 3, f"content {at}", split=f"fold{at // 2}") for at in range(6)]
    return rows, base_of(planned_of_column(checked(rows)), rows)


def planned_of_column(images):
    settled = config("x", csv="x", images_dir="x", split_column="split")
    return build_plan(images, assign_splits(images, settled), settled)


def problems_of(new, base):
    return [one.detail for one in leave_out_moves(checked(new, base)).labelled.problems]


def test_leave_out_moves_of_a_duplicate_in_another_given_split_names_both():
    rows, base = one_split_each()
    copy = Row("n0", 0, "content 0", split="fold2")
    (problem,) = problems_of([*rows, copy], base)
    assert problem == "it belongs together with 'a0' of split 'fold0', its own is 'fold2'"
    assert not problems_of([*rows, dataclasses.replace(copy, split="fold0")], base)


def test_leave_out_moves_of_an_old_row_in_another_given_split_names_both():
    rows, base = one_split_each()
    moved = [dataclasses.replace(rows[0], split="fold1"), *rows[1:]]
    assert problems_of(moved, base) == ["it was in split 'fold0' of 1.0.0, now 'fold1'"]


def test_leave_out_moves_of_a_row_between_two_splits_names_an_old_row_of_each():
    rows = [Row(f"a{at}", at % 3, f"content {at}") for at in range(12)]
    before = planned(checked(rows), folds=3)
    base, was = base_of(before, rows), split_of(before)
    other = next(row for row in rows[1:] if was[row.id] != was["a0"])
    grouped = [dataclasses.replace(r, group="g") if r == other else r for r in rows]
    bridge = Row("n0", 0, "content 0", group="g")
    (problem,) = problems_of([*grouped, bridge], base)
    assert "'a0'" in problem and f"'{other.id}'" in problem and was["a0"] in problem


def test_growth_of_a_withdrawn_image_under_a_new_id_keeps_its_split():
    rows = [Row(f"a{at}", at % 3, f"content {at}") for at in range(30)]
    before = planned(checked(rows), folds=3)
    base = base_of(before, rows)
    renamed = [dataclasses.replace(row, id=f"b{row.id}") for row in rows[:15]] + rows[15:]
    after = split_of(planned(leave_out_moves(checked(renamed, base)), folds=3))
    was = split_of(before)
    assert all(after[f"b{row.id}"] == was[row.id] for row in rows[:15])


def test_growth_again_keeps_the_older_steps():
    rows = [Row(f"a{at}", at % 3, f"content {at}") for at in range(30)]
    base = base_of(planned(checked(rows), folds=3), rows)
    older = Lineage("0.9.0", "e" * 64, {}, 1, 0, 0, 3, 0, 0, {"x": "y"})
    base = dataclasses.replace(base, manifest=dataclasses.replace(base.manifest, lineage=(older,)))
    after = planned(checked(rows, base), folds=3)
    assert [step.version for step in after.lineage] == ["0.9.0", "1.0.0"]
    assert after.lineage[0].shards == {} and len(after.lineage[1].shards) == 3


def test_growth_deals_new_rows_out_evenly_in_each_repeat():
    rows = [Row(f"a{at}", at % 3, f"content {at}") for at in range(30)]
    flags = {"folds": 3, "fold_repeats": 3}
    base = base_of(planned(checked(rows), **flags), rows)
    more = [Row(f"n{at}", at % 3, f"new {at}") for at in range(30)]
    after = planned(leave_out_moves(checked([*rows, *more], base)), **flags)
    dealt = np.concatenate([shard.repeats for shard in after.shards])
    own = {one: row for row, one in enumerate(i for shard in after.shards for i in shard.ids)}
    for repeat in range(2):
        assert np.bincount(dealt[:, repeat], minlength=3).tolist() == [20, 20, 20]
        assert len(set(dealt[[own[row.id] for row in more], repeat])) == 3
    assert (dealt[:, 0] != dealt[:, 1]).any()


def test_place_leaves_a_test_split_without_rows_to_the_table_of_test_rows():
    given = ("fold0", "fold1", "test")
    rows = [Row(f"a{at}", at % 3, f"content {at}", split=given[at // 2]) for at in range(6)]
    base = base_of(planned_of_column(checked(rows)), rows)
    settled = config("x", csv="x", images_dir="x", split_column="split")
    found, _ = growth.place(checked(rows[:2], base).labelled, base, settled)
    assert {name: at.tolist() for name, at in found.items()} == {"fold0": [0, 1], "fold1": []}


def rows_of(labels, groups=None):
    targets = Targets.of_matrix(np.eye(3, dtype=np.float32)[labels])
    count = len(labels)
    groups = np.arange(count) if groups is None else np.asarray(groups)
    return Rows(targets, Task.SINGLE_LABEL, groups, np.arange(count))


@given(
    st.lists(st.integers(0, 2), max_size=60),
    st.lists(st.lists(st.integers(0, 12), min_size=3, max_size=3), min_size=2, max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_fill_up_of_single_rows_gives_each_split_what_it_lacks_most_of(labels, there):
    counts = np.array(there, float)
    shares = np.full(len(counts), 1 / len(counts))
    where = fill_up(rows_of(labels), Filled(counts.copy(), counts.sum(1), shares))
    for one in range(3):
        added = np.bincount(where[np.array(labels, int) == one], minlength=len(counts))
        after = counts[:, one] + added
        # A split that got rows of a class has hardly more of it than any other.
        assert all(after[added > 0] <= after.min() + 1)


def test_fill_up_of_unequal_shares_approaches_them():
    shares = np.array([0.72, 0.18, 0.1])
    where = fill_up(rows_of([0, 1, 2] * 200), Filled(np.zeros((3, 3)), np.zeros(3), shares))
    for one in range(3):
        found = np.bincount(where[one::3], minlength=3) / 200
        assert found == pytest.approx(shares, abs=0.01)


def test_fill_up_of_many_labels_keeps_units_together_and_balances_each_class():
    rng = np.random.default_rng(0)
    matrix = (rng.random((300, 4)) < [0.5, 0.3, 0.1, 0.05]).astype(np.float32)
    groups = rng.integers(0, 200, 300)
    rows = Rows(Targets.of_matrix(matrix), Task.MULTI_LABEL, groups, np.arange(300))
    where = fill_up(rows, Filled(np.zeros((3, 4)), np.zeros(3), np.full(3, 1 / 3)))
    assert all(len(set(where[groups == one])) == 1 for one in set(groups.tolist()))
    counts = np.array([matrix[where == split].sum(0) for split in range(3)])
    assert (np.ptp(counts, axis=0) <= 4).all()
    assert np.ptp(np.bincount(where)) <= 6
