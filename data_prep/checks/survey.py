"""Runs the pre-flight over all rows of the CSVs and gathers what it found."""

import dataclasses
import functools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.checks.worker import SCAN_DTYPE, ScanTask, Spool, scan
from data_prep.config import PrepConfig
from data_prep.engines import Engine
from data_prep.images import ImageOptions, ImageSource, file_name
from data_prep.labels import LabelTable, Problem
from data_prep.plan import hashed_order
from orchard import progress

# The flags of the CSVs: what a dataset calls them, since nothing in it may depend on their names.
CSV_FLAGS = ("csv", "test_csv")
_MAX_FILES_PER_TASK = 256
_MAX_SPOOL_BYTES = 4 << 30
# Room for the small files of a task.
_MIN_SPOOL_BYTES_PER_TASK = 4 << 20
# Converted on trial, to estimate the size: one in so many rows, within these limits.
_ROWS_PER_SAMPLE, _MIN_SAMPLED_ROWS, _MAX_SAMPLED_ROWS = 64, 4, 16


@dataclass(frozen=True)
class Survey:
    """One CSV and what the pre-flight saw of its images.

    facts: SCAN_DTYPE [n]; problems: of the CSV and of the images, in the order of the rows;
    usable: bool [n], the rows without a problem.
    """

    table: LabelTable
    root: str
    files: tuple[str, ...]
    facts: np.ndarray
    problems: tuple[Problem, ...]

    @functools.cached_property
    def usable(self) -> np.ndarray:
        """Rows without a problem: bool [n]."""
        bad = {problem.row for problem in self.problems}
        return np.array([row not in bad for row in self.table.csv_rows.tolist()], bool)


def quarantine(surveys: Sequence[Survey]) -> list[Problem]:
    """The problems of all CSVs as the dataset holds them: `file` is the CSV's flag."""
    return [
        problem._replace(file=flag)
        for flag, one in zip(CSV_FLAGS, surveys, strict=False)
        for problem in one.problems
    ]


def image_options(config: PrepConfig) -> ImageOptions:
    """The part of the settings that concerns single images."""
    return ImageOptions(
        max_pixels=config.max_pixels,
        short_side_px=config.short_side_px,
        max_side_px=config.max_side_px,
        square_px=config.square_px,
        jpeg_quality=config.jpeg_quality,
        jpeg_chroma=config.jpeg_chroma,
    )


def check_images(
    tables: Sequence[tuple[LabelTable, str]],
    config: PrepConfig,
    engine: Engine,
    spool_path: str | None,
    meanwhile: Callable[[], None],
) -> list[Survey]:
    """Look at every image of every table.

    Args:
      tables: each with its images folder.
      config: the settings.
      engine: where the work is done.
      spool_path: a file for the bytes of small images and of those on gs://, 4 GiB at most; None:
        all are read twice.
      meanwhile: what to do while the engine is at the first images.

    Raises:
      OrchardError: an images folder does not exist.
    """
    files = [
        tuple(file_name(image_id, config.extension) for image_id in table.ids)
        for table, _ in tables
    ]
    places, tasks = _all_tasks(tables, files, config, engine.workers, _make_spool(spool_path))
    facts = [np.zeros(len(table.ids), SCAN_DTYPE) for table, _ in tables]
    found: list[list[Problem]] = [[] for _ in tables]
    results = engine.map(scan, tasks)
    with progress.bar("checking", sum(map(len, files))) as bar:
        meanwhile()
        for position, result in results:
            at, start = places[position]
            table = tables[at][0]
            facts[at][start : start + len(result.facts)] = result.facts
            for row, kind, detail in result.problems:
                number, image_id = int(table.csv_rows[start + row]), table.ids[start + row]
                # An empty id is a problem of its own already.
                if image_id:
                    found[at].append(Problem(table.file, number, image_id, kind, detail))
            bar.add(len(result.facts), int(result.facts["num_bytes"].sum()))
    for at, (table, _) in enumerate(tables):
        found[at] += _same_file(table, files[at])
        found[at] += _in_both(tables[0][0], table) if at else []
    return [
        Survey(table, root, names, fact, _in_order((*table.problems, *more)))
        for (table, root), names, fact, more in zip(tables, files, facts, found, strict=True)
    ]


def _all_tasks(
    tables: Sequence[tuple[LabelTable, str]],
    files: Sequence[tuple[str, ...]],
    config: PrepConfig,
    workers: int,
    spool_path: str | None,
) -> tuple[list[tuple[int, int]], list[ScanTask]]:
    """Where each task's rows are, (table, first row), and the tasks."""
    places: list[tuple[int, int]] = []
    tasks: list[ScanTask] = []
    for at, (table, root) in enumerate(tables):
        ImageSource(root)
        for start, task in _tasks(files[at], table, root, config, workers):
            tasks.append(task)
            places.append((at, start))
    return places, _with_spools(tasks, spool_path) if spool_path else tasks


def _with_spools(tasks: list[ScanTask], path: str) -> list[ScanTask]:
    """The tasks with equal parts of the spool; where they would get too small, the first tasks."""
    size = max(_MIN_SPOOL_BYTES_PER_TASK, _MAX_SPOOL_BYTES // len(tasks))
    count = _MAX_SPOOL_BYTES // size
    return [
        dataclasses.replace(task, spool=Spool(path, at * size, size)) if at < count else task
        for at, task in enumerate(tasks)
    ]


def _tasks(
    files: tuple[str, ...], table: LabelTable, root: str, config: PrepConfig, workers: int
) -> list[tuple[int, ScanTask]]:
    options = image_options(config)
    sample: set[int] = set()
    if config.short_side_px or config.max_side_px or config.square_px:
        count = max(_MIN_SAMPLED_ROWS, min(_MAX_SAMPLED_ROWS, len(files) // _ROWS_PER_SAMPLE))
        sample = set(hashed_order(table.ids, "sample", config.seed)[:count].tolist())
    size = max(1, min(_MAX_FILES_PER_TASK, len(files) // (workers * 8)))
    return [
        (
            start,
            ScanTask(
                root=root,
                files=files[start : start + size],
                options=options,
                decode_check=config.decode_check,
                near_duplicates=config.near_duplicates,
                sample=frozenset(row - start for row in sample if start <= row < start + size),
            ),
        )
        for start in range(0, len(files), size)
    ]


def _make_spool(path: str | None) -> str | None:
    """An empty spool, or None where there is no room for one."""
    if path is None or shutil.disk_usage(os.path.dirname(path)).free < 2 * _MAX_SPOOL_BYTES:
        return None
    with open(path, "wb"):
        return path


def _same_file(table: LabelTable, files: tuple[str, ...]) -> list[Problem]:
    """Different ids that mean one file: `a` and `a.jpg`."""
    problems = []
    first: dict[str, int] = {}
    for row, file in enumerate(files):
        before = first.setdefault(file, row)
        if before != row and table.ids[before] != table.ids[row]:
            detail = f"{file!r} is the file of row {table.csv_rows[before]} too"
            number = int(table.csv_rows[row])
            problems.append(Problem(table.file, number, table.ids[row], "duplicate id", detail))
    return problems


def _in_both(table: LabelTable, test: LabelTable) -> list[Problem]:
    rows = dict(zip(table.ids, table.csv_rows.tolist(), strict=True))
    return [
        Problem(
            test.file,
            number,
            image_id,
            "duplicate id",
            f"the labelled CSV has it too, in row {rows[image_id]}",
        )
        for number, image_id in zip(test.csv_rows.tolist(), test.ids, strict=True)
        if image_id in rows
    ]


def _in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: problem.row))
