"""Prepares one dataset from beginning to end: the order of the steps, and what is said."""

import dataclasses
import functools
import importlib
import time
from collections.abc import Callable, Container, Iterator

from data_prep.checks import (
    accept_finished,
    check_images,
    judge_rows,
    tell_changes,
    tell_duplicates,
)
from data_prep.config import PrepConfig
from data_prep.engines import Engine, open_engine
from data_prep.images import file_name
from data_prep.labels import IMAGE_COLUMNS, LabelOptions, LabelTable, read_ids, read_labels
from data_prep.plan import Plan, assign_splits, build_plan
from data_prep.publish import (
    Clock,
    Snapshot,
    Staging,
    dataset_files,
    dataset_fingerprint,
    load_snapshot,
    make_manifest,
    open_staging,
    read_thumbnails,
    save_snapshot,
    snapshot_of_run,
)
from data_prep.shard import Receipt, WrittenShard, write_shard
from orchard import progress, storage
from orchard.errors import OrchardError
from orchard.html import format_bytes
from orchard.parallel import Background

Say = Callable[[str], None]


def prepare(config: PrepConfig, say: Say = print, own_names: Container[str] = ()) -> str:
    """Prepare the dataset that `config` describes; go on where an earlier run stopped.

    Args:
      config: the settings.
      say: takes each line that is meant for the user.
      own_names: TFDS's registered names that are allowed all the same.

    Returns:
      The dataset's directory, which is whole.

    Raises:
      OrchardError: bad input, or another dataset or writer in the way; nothing is published then.
    """
    clock = Clock(time.time())
    staging = open_staging(config.data_dir, config.name, config.version, config.engine == "beam")
    tables = _read_tables(config, say)
    # The workers are forked before any lock starts a thread.
    with open_engine(config, staging.root) as engine, staging.lock():
        staging.prepare()
        try:
            return _prepare_locked(config, staging, tables, engine, clock, say, own_names)
        finally:
            storage.remove_tree(staging.spool_path)


def _prepare_locked(
    config: PrepConfig,
    staging: Staging,
    tables: list[tuple[LabelTable, str]],
    engine: Engine,
    clock: Clock,
    say: Say,
    own_names: Container[str],
) -> str:
    before: Snapshot | None = None

    def look_around() -> None:
        nonlocal before
        _check_name(config, own_names)
        staging.claim(config.overwrite)
        before = load_snapshot(staging.root)

    spool_path = staging.spool_path if engine.shares_files else None
    surveys = check_images(tables, config, engine, spool_path, look_around)
    judge_rows(surveys, config, staging, say)
    assignment = assign_splits(surveys, config)
    tell_duplicates(assignment, surveys, say)
    plan = build_plan(surveys, assignment, config, staging)
    given = snapshot_of_run(config, surveys)
    if staging.is_finished():
        if not config.overwrite:
            would_be = functools.partial(dataset_fingerprint, config, plan, surveys)
            accept_finished(staging, given, would_be)
            storage.remove_tree(staging.root)
            say(f"finished already, nothing to do: {staging.final_dir}")
            return staging.final_dir
        staging.remove_finished()
    tell_changes(before, given, say)
    clock.checked = time.time()
    # Beside the writing, which on gs:// it would hold up.
    with Background(functools.partial(save_snapshot, directory=staging.root), 0, 1) as saving:
        saving.add(given, 0)
        receipts, thumbnails = _write_shards(plan, staging, engine, say)
        list(saving.drain())
    clock.written = time.time()
    manifest = make_manifest(config, surveys, plan, receipts)
    files = dataset_files(config, manifest, surveys, assignment, plan, receipts, thumbnails, clock)
    staging.commit(files, [receipt.file for receipt in receipts], config.overwrite)
    records = sum(split.num_records for split in manifest.splits.values())
    size = format_bytes(sum(receipt.num_bytes for receipt in receipts))
    say(f"{records} records, {size}, {len(receipts)} shards in {time.time() - clock.started:.1f} s")
    say(staging.final_dir)
    return staging.final_dir


def label_options(config: PrepConfig) -> LabelOptions:
    """The part of the settings that says how to read the CSV."""
    return LabelOptions(
        image_column=config.image_column,
        label_columns=config.label_columns,
        label_shape=config.label_shape,
        task=config.task,
        class_names=config.class_names,
        group_column=config.group_column,
    )


def _read_tables(config: PrepConfig, say: Say) -> list[tuple[LabelTable, str]]:
    table = read_labels(config.csv, label_options(config))
    names = ", ".join(table.class_names[:20]) + (", ..." if len(table.class_names) > 20 else "")
    say(
        f"{table.file}: {len(table.ids)} rows, ids in column {table.image_column!r}, labels of "
        f"shape {table.shape!r}, {table.task}, {len(table.class_names)} classes: {names}"
    )
    if config.group_column and not (config.folds or config.eval_fraction):
        say("--group_column does nothing without --folds or --eval_fraction: all is in one split")
    tables = [(table, config.images_dir)]
    if config.test_csv:
        column = config.image_column or table.image_column
        test = read_ids(config.test_csv, column, table.class_names, table.task)
        say(f"{test.file}: {len(test.ids)} rows, ids in column {test.image_column!r}, no labels")
        tables.append((test, config.test_images_dir or config.images_dir))
    for table, root in tables:
        if table.image_column not in (*IMAGE_COLUMNS, config.image_column):
            _refuse_no_header(table, root, config.extension)
        if table.ignored_columns:
            say(f"{table.file}: ignored columns {', '.join(table.ignored_columns)}")
    return tables


def _refuse_no_header(table: LabelTable, images_dir: str, extension: str) -> None:
    """Without a header, the first image would be taken for the columns' names, and be lost."""
    file = file_name(table.image_column, extension)
    if storage.exists(storage.join(images_dir, file)):
        raise OrchardError(
            f"{table.file}, row 1: {table.image_column!r} is an image ({file}), where the columns' "
            f"names belong; put a header above it, or, if it is one, pass "
            f"--image_column={table.image_column}"
        )


def _check_name(config: PrepConfig, own_names: Container[str]) -> None:
    # TFDS takes a while to import; the workers are at the images meanwhile.
    from data_prep.publish import refuse_registered_name

    refuse_registered_name(config.name, own_names)


def _write_shards(
    plan: Plan, staging: Staging, engine: Engine, say: Say
) -> tuple[list[Receipt], dict[int, tuple[bytes, ...]]]:
    """Write what is not there yet; receipts and the card's thumbnails of all shards, in order."""
    receipts = staging.written(plan)
    old = sorted(receipts)
    if old:
        say(f"{len(old)} of {len(plan.shards)} shards are there already and undamaged")
    todo = [shard for shard in plan.shards if shard not in receipts]
    results = engine.map(
        write_part, [plan.part(shard) for shard in todo], ahead=staging.max_ahead(engine.workers)
    )
    # What the index needs takes a while to import; the workers are at the shards meanwhile.
    importlib.import_module("pyarrow.parquet")
    there = dataclasses.replace(plan, files_dir=staging.shards_dir)
    thumbnails = read_thumbnails(there, receipts, old)
    numbers = {plan.file_name(shard): shard for shard in todo}

    def received() -> Iterator[Receipt]:
        for at, written in results:
            thumbnails[todo[at]] = written.thumbnails
            yield written.receipt

    with progress.bar("writing", sum(len(plan.shards[shard].ids) for shard in todo)) as bar:
        for receipt in staging.publish(received(), engine.workers):
            receipts[numbers[receipt.file]] = receipt
            images = len(receipt.lengths)
            bar.add(images, receipt.num_bytes)
            bar.print(f"{receipt.file}: {images} images, {format_bytes(receipt.num_bytes)}")
    return [receipts[shard] for shard in sorted(receipts)], thumbnails


def write_part(part: Plan) -> WrittenShard:
    """Write the one shard of a plan's part."""
    (only,) = part.shards
    return write_shard(part, only)
