"""Prepares one dataset from beginning to end: the order of the steps, and what is said."""

import dataclasses
import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from data_prep import index, labels, planner, progress, report, storage
from data_prep.config import PrepConfig
from data_prep.engine import LocalEngine
from data_prep.errors import OrchardError
from data_prep.html import format_bytes
from data_prep.labels import LabelOptions, LabelTable
from data_prep.manifest import (
    MANIFEST_FILE,
    QUARANTINE_FILE,
    RECORDS_FILE,
    REPORT_FILE,
    RUN_LOG_FILE,
    SCHEMA_VERSION,
    Manifest,
    ShardInfo,
    SplitInfo,
    load_manifest,
)
from data_prep.plan import Plan
from data_prep.problems import Problem, describe, quarantine_csv, summary
from data_prep.shard import Receipt, write_shard
from data_prep.staging import Staging, open_staging
from data_prep.survey import Survey, survey
from data_prep.versions import deciding_versions, library_versions

Say = Callable[[str], None]


def prepare(config: PrepConfig, say: Say = print) -> str:
    """Prepare the dataset that `config` describes; go on where an earlier run stopped.

    Returns:
      The dataset's directory, which is whole.

    Raises:
      OrchardError: bad input, or another dataset or writer in the way; nothing is published then.
    """
    started = time.time()
    staging = open_staging(config.data_dir, config.name, config.version)
    tables = _read_tables(config, say)
    # The workers are forked before the lock of gs:// starts its threads.
    with LocalEngine(config.workers) as engine, staging.lock():
        staging.prepare()
        return _prepare_locked(config, staging, tables, engine, started, say)


def _prepare_locked(
    config: PrepConfig,
    staging: Staging,
    tables: list[tuple[LabelTable, str]],
    engine: LocalEngine,
    started: float,
    say: Say,
) -> str:
    # TFDS is slow to import, and wanted for the commit; the workers are at the images meanwhile.
    surveys = survey(tables, config, engine, staging.spool_path)
    _check_name(config.name)
    problems = [problem for one in surveys for problem in one.problems]
    _judge(problems, surveys, config, staging, say)
    assignment = planner.assign(surveys, config)
    _tell_duplicates(assignment, surveys, say)
    plan = planner.build(surveys, assignment, config, staging)
    fingerprint = dataset_fingerprint(config, plan, problems)
    if staging.is_finished() and not config.overwrite:
        _accept_finished(staging, config, fingerprint)
        storage.remove_tree(staging.root)
        say(f"finished already, nothing to do: {staging.final_dir}")
        return staging.final_dir
    if staging.is_finished() and staging.remote:
        staging.remove_finished()
    surveyed = time.time()
    receipts = _write_shards(plan, staging, engine, say)
    written = time.time()
    manifest = _manifest(config, surveys, plan, receipts, fingerprint)
    from data_prep import dataset

    files = dataset.metadata_files(
        config.name,
        config.version,
        manifest.task,
        manifest.class_names,
        manifest.splits,
        report.description(manifest),
    )
    files[MANIFEST_FILE] = storage.json_bytes(manifest.to_json())
    files[RECORDS_FILE] = index.records_parquet(plan, receipts)
    there = dataclasses.replace(plan, files_dir=staging.shards_dir)
    files[REPORT_FILE] = report.card(config, manifest, surveys, assignment, there, receipts)
    if problems:
        files[QUARANTINE_FILE] = quarantine_csv(problems)
    run_log = _run_log(config, surveys, started, surveyed, written)
    files[RUN_LOG_FILE] = storage.json_bytes(run_log)
    staging.commit(files, [receipt.file for receipt in receipts], config.overwrite)
    records = sum(split.num_records for split in manifest.splits.values())
    size = format_bytes(sum(receipt.num_bytes for receipt in receipts))
    say(f"{records} records, {size}, {len(receipts)} shards in {time.time() - started:.1f} s")
    say(staging.final_dir)
    return staging.final_dir


def _read_tables(config: PrepConfig, say: Say) -> list[tuple[LabelTable, str]]:
    options = LabelOptions(
        image_column=config.image_column,
        label_columns=config.label_columns,
        label_shape=config.label_shape,
        task=config.task,
        class_names=config.class_names,
        group_column=config.group_column,
    )
    table = labels.read_labels(config.csv, options)
    say(
        f"{table.file}: {len(table.ids)} rows, ids in column {table.image_column!r}, labels of "
        f"shape "
        f"{table.shape!r}, {table.task}, {len(table.class_names)} classes: "
        f"{', '.join(table.class_names[:20])}{', ...' if len(table.class_names) > 20 else ''}"
    )
    tables = [(table, config.images_dir)]
    if config.test_csv:
        test = labels.read_ids(
            config.test_csv,
            config.image_column or table.image_column,
            table.class_names,
            table.task,
        )
        say(f"{test.file}: {len(test.ids)} rows, ids in column {test.image_column!r}, no labels")
        tables.append((test, config.test_images_dir or config.images_dir))
    for table, _ in tables:
        if table.ignored_columns:
            say(f"{table.file}: ignored columns {', '.join(table.ignored_columns)}")
    return tables


def _check_name(name: str) -> None:
    from data_prep import dataset

    dataset.refuse_registered_name(name)


def _judge(
    problems: Sequence[Problem],
    surveys: Sequence[Survey],
    config: PrepConfig,
    staging: Staging,
    say: Say,
) -> None:
    """Tell the problems and decide by `--on_bad` whether they are the end."""
    if not problems:
        return
    for line in describe(problems):
        say(line)
    left = sum(int(one.usable.sum()) for one in surveys)
    if config.on_bad == "fail" or not surveys[0].usable.any():
        path = storage.join(staging.root, QUARANTINE_FILE)
        storage.write_bytes(path, quarantine_csv(problems))
        if staging.spool_path:
            storage.remove_tree(staging.spool_path)
        advice = "mend them, or pass --on_bad=skip to leave them out"
        if config.on_bad == "skip":
            advice = f"no labelled row is left; mend {config.csv}"
        raise OrchardError(f"{summary(problems)}; all are in {path}; {advice}")
    bad = sum(len(one.table.ids) for one in surveys) - left
    say(f"left out {bad} bad row{'s' if bad > 1 else ''}, kept {left} (--on_bad=skip)")


def _tell_duplicates(assignment: planner.Assignment, surveys: Sequence[Survey], say: Say) -> None:
    table = surveys[0].table
    for what, groups in (
        ("identical", assignment.identical),
        ("nearly identical", assignment.near),
    ):
        if groups:
            rows = sum(len(group) for group in groups)
            first = " and ".join(repr(table.ids[row]) for row in groups[0][:2])
            say(
                f"{rows} {what} images in {len(groups)} groups, each kept in one split; first: "
                f"{first}"
            )
    if assignment.identical_across:
        one, other = assignment.identical_across[0]
        say(
            f"{len(assignment.identical_across)} test images have the same content as a labelled "
            f"one; first: "
            f"{surveys[1].table.ids[other]!r} and {table.ids[one]!r}"
        )


def dataset_fingerprint(config: PrepConfig, plan: Plan, problems: Sequence[Problem]) -> str:
    """SHA-256 (hex) of all that decides the dataset: see `manifest.Manifest`."""
    parts = {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "version": config.version,
        "settings": config.settings(),
        "library_versions": deciding_versions(),
        "shards": plan.fingerprints,
        "quarantine": quarantine_csv(problems).decode(),
    }
    return hashlib.sha256(storage.json_bytes(parts)).hexdigest()


def _accept_finished(staging: Staging, config: PrepConfig, fingerprint: str) -> None:
    """Return when the published dataset is what this run would make, and is undamaged."""
    published = load_manifest(staging.final_dir)
    if published.fingerprint != fingerprint:
        raise OrchardError(
            f"{staging.final_dir} is finished and was made of other inputs or settings; "
            "pass a new --version, or --overwrite to replace it"
        )
    for split in published.splits.values():
        for shard in split.shards:
            found = storage.size_and_crc32c(storage.join(staging.final_dir, shard.file))
            if found != (shard.num_bytes, shard.crc32c):
                raise OrchardError(
                    f"{staging.final_dir} is finished, but {shard.file} is missing or damaged; "
                    f"pass "
                    "--overwrite to write the dataset again"
                )


def _write_shards(plan: Plan, staging: Staging, engine: LocalEngine, say: Say) -> list[Receipt]:
    """Write what is not there yet; the receipts of all shards, in order."""
    receipts = staging.written(plan)
    if receipts:
        say(f"{len(receipts)} of {len(plan.shards)} shards are there already and undamaged")
    todo = [shard for shard in plan.shards if shard not in receipts]
    results = engine.map(
        _write, [plan.part(shard) for shard in todo], ahead=staging.max_ahead(engine.workers)
    )
    numbers = {plan.file_name(shard): shard for shard in todo}
    published = staging.publish((receipt for _, receipt in results), engine.workers)
    with progress.bar("writing", sum(len(plan.shards[shard].ids) for shard in todo)) as bar:
        for receipt in published:
            receipts[numbers[receipt.file]] = receipt
            bar.add(len(receipt.lengths), receipt.num_bytes)
            bar.say(
                f"{receipt.file}: {len(receipt.lengths)} images, {format_bytes(receipt.num_bytes)}"
            )
    return [receipts[shard] for shard in sorted(receipts)]


def _write(part: Plan) -> Receipt:
    (only,) = part.shards
    return write_shard(part, only)


def _manifest(
    config: PrepConfig,
    surveys: Sequence[Survey],
    plan: Plan,
    receipts: Sequence[Receipt],
    fingerprint: str,
) -> Manifest:
    table = surveys[0].table
    splits: dict[str, list[int]] = {}
    for shard, rows in plan.shards.items():
        splits.setdefault(rows.split, []).append(shard)
    infos = {}
    for split, shards in splits.items():
        targets = np.concatenate([plan.shards[shard].targets for shard in shards])
        labelled = split != "test"
        counts = targets.sum(0, dtype=np.float64) if labelled else np.zeros(targets.shape[1])
        infos[split] = SplitInfo(
            shards=tuple(
                ShardInfo(r.file, len(r.lengths), r.num_bytes, r.crc32c)
                for r in (receipts[shard] for shard in shards)
            ),
            labelled=labelled,
            class_counts=tuple(round(count, 6) for count in counts.tolist()),
        )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=config.name,
        version=config.version,
        fingerprint=fingerprint,
        task=table.task,
        class_names=table.class_names,
        splits=infos,
        settings=config.settings(),
        inputs=planner.inputs(surveys),
        library_versions=library_versions(),
    )


def _run_log(
    config: PrepConfig, surveys: Sequence[Survey], started: float, surveyed: float, written: float
) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "command": sys.argv,
        "config": dataclasses.asdict(config),
        "started_unix_seconds": started,
        "checking_seconds": surveyed - started,
        "writing_seconds": written - surveyed,
        "newest_image_mtime_ns": max(int(one.facts["mtime_ns"].max()) for one in surveys),
        "host": os.uname().nodename,
    }
