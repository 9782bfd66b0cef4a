"""Prepares one dataset from beginning to end: the order of the steps, and what is printed."""

import dataclasses
import importlib
import itertools
import shlex
import time
from collections.abc import Callable, Container, Iterator

from data_prep.base import check_labels, load_base
from data_prep.checks import CheckedImages, ImageCheck, refuse_bad_rows
from data_prep.config import PrepConfig
from data_prep.engines import Engine, open_engine
from data_prep.labels import LABEL_SOURCES, InputTables, apply_label_fixes
from data_prep.plan import (
    Assignment,
    Plan,
    PlannedShard,
    assign_splits,
    build_plan,
    describe_duplicates,
    describe_growth,
    describe_times,
    leave_out_moves,
    warn_of_classes,
)
from data_prep.publish import (
    Given,
    Publisher,
    Staging,
    Times,
    WrittenDataset,
    check_finished,
    dataset_files,
    describe_changes,
    load_given,
    make_manifest,
    open_staging,
    save_given,
)
from data_prep.shard import (
    Receipt,
    ShardTask,
    WrittenShard,
    read_thumbnails,
    receipt_of_taken_over,
    write_shard,
)
from orchard import progress, storage
from orchard.formats import QUARANTINE_FILE, RECORD_FORMATS, REPORT_FILE, Manifest, fold_name
from orchard.html import format_bytes

Log = Callable[[str], None]


def prepare(config: PrepConfig, log: Log = print, own_names: Container[str] = ()) -> str:
    """Prepare the dataset that `config` describes; go on where an earlier run stopped.

    Args:
        config: the settings.
        log: takes each line that is for the user.
        own_names: names registered with TFDS that are allowed all the same.

    Returns:
        The dataset's directory, which is whole.

    Raises:
        OrchardError: bad input, or another dataset or writer in the way; nothing is published then.
    """
    started = time.time()
    RECORD_FORMATS[config.file_format].check_installed()
    staging = open_staging(config.data_dir, config.name, config.version, config.engine == "beam")
    base = load_base(config)
    tables = _read_tables(config, log)
    if base is not None:
        check_labels(base, tables.labelled.table)
    results_dir = storage.join(staging.root, "results")
    # The workers are forked before any lock starts a thread.
    with (
        open_engine(config.engine, config.workers, config.beam_options, results_dir) as engine,
        staging.lock() as claim,
    ):
        spool_path = staging.spool_path if engine.shares_files else None
        check = ImageCheck(tables, config, engine, spool_path, base)
        for note in check.notes:
            log(note)
        # While the workers read the images: TFDS takes a while to import, a bucket to answer.
        _refuse_registered_name(config.name, own_names)
        publisher = claim(config.overwrite)
        before = load_given(staging.root)
        images = leave_out_moves(check.finish())
        refuse_bad_rows(images, config, storage.join(staging.root, QUARANTINE_FILE), log)
        assignment, plan = _plan(images, config, log)
        if publisher.is_finished:
            if not config.overwrite:
                check_finished(staging.final_dir, config, images, plan)
                storage.remove_tree(staging.root)
                log(f"finished already, nothing to do: {staging.final_dir}")
                return staging.final_dir
            publisher.remove_finished()
        given = Given.of_run(config, images)
        for phrase in describe_changes(before, given) if before else ():
            log(f"since the interrupted run: {phrase}")
        save_given(given, staging.root)
        checked = time.time()
        shards = _write_shards(_tasks(plan, tables, staging, config), publisher, plan, engine, log)
        dataset = WrittenDataset(config, images, assignment, plan, shards)
        manifest = make_manifest(dataset)
        files = dataset_files(dataset, manifest, Times(started, checked, time.time()))
        publisher.commit(files, [shard.file for shard in plan.shards], config.overwrite)
        for line in _closing_lines(dataset, manifest, staging.final_dir, time.time() - started):
            log(line)
        return staging.final_dir


def _plan(images: CheckedImages, config: PrepConfig, log: Log) -> tuple[Assignment, Plan]:
    """Which split each row is in, and what shards there will be; says what was decided."""
    assignment = assign_splits(images, config)
    for line in itertools.chain(
        describe_duplicates(assignment, images),
        describe_times(assignment),
        warn_of_classes(images.labelled, config.folds),
    ):
        log(line)
    plan = build_plan(images, assignment, config)
    for line in describe_growth(plan):
        log(line)
    return assignment, plan


def _closing_lines(
    dataset: WrittenDataset, manifest: Manifest, final_dir: str, seconds: float
) -> list[str]:
    records = sum(split.num_records for split in manifest.splits.values())
    size = format_bytes(sum(shard.receipt.num_bytes for shard in dataset.shards))
    return [
        f"{records} records, {size}, {len(dataset.shards)} shards in {seconds:.1f} s",
        f"report: {storage.join(final_dir, REPORT_FILE)}",
        f"next: {next_command(final_dir, manifest.splits)}",
        final_dir,
    ]


def next_command(dataset_dir: str, splits: Container[str]) -> str:
    """The command that trains a first network on a dataset with these splits."""
    fold = " --fold=0" if fold_name(0) in splits else ""
    return (
        f"python -m trainer.main --dataset={shlex.quote(dataset_dir)} "
        f"--architecture=efficientnet_b0 --run_dir=runs/b0{fold}"
    )


def _read_tables(config: PrepConfig, log: Log) -> InputTables:
    tables = LABEL_SOURCES[config.layout](config.source_options).read()
    for note in tables.notes:
        log(note)
    if config.label_fixes:
        fixed = apply_label_fixes(tables.labelled.table, config.label_fixes)
        if fixed.fixes:
            log(
                f"{config.label_fixes}: {fixed.fixes.changed} labels changed, "
                f"{fixed.fixes.dropped} rows left out"
            )
        labelled = dataclasses.replace(tables.labelled, table=fixed)
        tables = dataclasses.replace(tables, labelled=labelled)
    one_split = not (config.folds or config.eval_fraction or config.holdout_fraction)
    if config.group_column and one_split:
        log(
            "--group_column does nothing without --folds, --eval_fraction or --holdout_fraction: "
            "all is in one split"
        )
    return tables


def _refuse_registered_name(name: str, own_names: Container[str]) -> None:
    from data_prep.publish import refuse_registered_name  # It imports TFDS.

    refuse_registered_name(name, own_names)


def _tasks(
    plan: Plan, tables: InputTables, staging: Staging, config: PrepConfig
) -> dict[str, ShardTask]:
    """How to write each shard, by its file."""

    def task(shard: PlannedShard) -> ShardTask:
        table = tables.labelled if shard.labelled else tables.test or tables.labelled
        return ShardTask(
            shard=shard,
            task=plan.task,
            options=plan.options,
            images_dir=table.images_dir,
            spool_path=staging.spool_path,
            files_dir=staging.files_dir,
            receipts_dir=staging.receipts_dir,
            follow_symlinks=config.follow_symlinks,
            base_dir=config.extends,
        )

    return {shard.file: task(shard) for shard in plan.shards}


def _write_shards(
    tasks: dict[str, ShardTask], publisher: Publisher, plan: Plan, engine: Engine, log: Log
) -> tuple[WrittenShard, ...]:
    """Take over and write what is not there yet; all shards, in the order of the plan."""
    taken_over = [shard for shard in plan.shards if shard.is_taken_over]
    to_write = [shard for shard in plan.shards if not shard.is_taken_over]
    old = publisher.written(to_write)
    if old:
        log(f"{len(old)} of {len(to_write)} shards are there already and undamaged")
    if taken_over:
        publisher.take_over(taken_over, tasks[taken_over[0].file].base_dir)
        old |= {shard.file: receipt_of_taken_over(shard) for shard in taken_over}
    todo = [task for file, task in tasks.items() if file not in old]
    results = engine.map(write_shard, todo, ahead=publisher.max_ahead(engine.workers))
    # While the workers write the shards: what the index needs takes a while to import.
    importlib.import_module("pyarrow.parquet")
    kept = [(shard, old[shard.file]) for shard in plan.shards if shard.file in old]
    written = {shard.receipt.file: shard for shard in read_thumbnails(publisher.shards_dir, kept)}

    def received() -> Iterator[Receipt]:
        for _, shard in results:
            written[shard.receipt.file] = shard
            yield shard.receipt

    with progress.bar("writing", sum(len(task.shard.ids) for task in todo)) as bar:
        for receipt in publisher.publish(received(), engine.workers):
            images = len(receipt.lengths)
            bar.add(images, receipt.num_bytes)
            bar.print(f"{receipt.file}: {images} images, {format_bytes(receipt.num_bytes)}")
    return tuple(written[shard.file] for shard in plan.shards)
