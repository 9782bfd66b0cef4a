"""Has all rows and images checked, and gathers what was found."""

import dataclasses
import functools
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.base import Base
from data_prep.checks.worker import FACTS_DTYPE, CheckTask, Spool, check_files
from data_prep.config import PrepConfig
from data_prep.engines import Engine
from data_prep.images import ImageSource, advise, describe_odd, find_files
from data_prep.labels import ImageTable, InputTables, LabelTable, Problem, hashed_order
from orchard import progress

# The flags of the CSVs: what a dataset calls them, since nothing in it may depend on their names.
CSV_FLAGS = ("csv", "test_csv")
_MAX_FILES_PER_TASK = 256
_TASKS_PER_WORKER = 8
_MAX_SPOOL_BYTES = 4 << 30
# Room for the small files of a task.
_MIN_SPOOL_BYTES_PER_TASK = 4 << 20
# Converted on trial, to estimate the size: one in so many rows, within these limits.
_ROWS_PER_SAMPLE, _MIN_SAMPLED_ROWS, _MAX_SAMPLED_ROWS = 64, 4, 16


@dataclass(frozen=True)
class CheckedTable:
    """The rows of one CSV, and what the check found.

    Attributes:
        table: the rows.
        images_dir: the folder of their images.
        files: of each row, within the folder.
        facts: FACTS_DTYPE [n]; of an old row, whose file is not opened, what the index says: the
            hashes.
        problems: of the rows and of their images, in the order of the rows.
        base_rows: int64 [n], the record of the version that is extended; -1: the row is new.
    """

    table: LabelTable
    images_dir: str
    files: tuple[str, ...]
    facts: np.ndarray
    problems: tuple[Problem, ...]
    base_rows: np.ndarray

    @functools.cached_property
    def usable(self) -> np.ndarray:
        """Which rows have no problem: bool [n]."""
        bad = [problem.row for problem in self.problems]
        return ~np.isin(self.table.csv_rows, bad)

    @property
    def opened(self) -> np.ndarray:
        """Which files were opened, and are in use: bool [n]."""
        return self.usable & (self.base_rows < 0)

    def with_problems(self, found: Sequence[Problem]) -> "CheckedTable":
        """The same with more problems."""
        problems = sorted((*self.problems, *found), key=lambda problem: problem.row)
        return dataclasses.replace(self, problems=tuple(problems))


@dataclass(frozen=True)
class CheckedImages:
    """All rows of a dataset after the check: those with labels, and those of the split `test`.

    `base` is the version that it extends, if any.
    """

    labelled: CheckedTable
    test: CheckedTable | None = None
    base: Base | None = None

    @property
    def all(self) -> tuple[CheckedTable, ...]:
        """In the order of `CSV_FLAGS`."""
        return (self.labelled, self.test) if self.test else (self.labelled,)

    @property
    def by_flag(self) -> dict[str, CheckedTable]:
        """The tables by the flags of their CSVs."""
        return dict(zip(CSV_FLAGS, self.all, strict=False))


@dataclass(frozen=True)
class _Part:
    """Rows of one table, int64 [files of the task], which one task checks."""

    table: int
    rows: np.ndarray
    task: CheckTask


class ImageCheck:
    """The check of all images, at work from its construction on.

    Args:
        tables: the rows.
        config: the settings.
        engine: reads the images.
        spool_path: a file, seen by the workers, to keep the bytes of small images in; None: do not.
        base: the version that is extended: images of its ids are not opened.

    Attributes:
        notes: lines for the user.

    Raises:
        OrchardError: a folder of images does not exist.
    """

    def __init__(
        self,
        tables: InputTables,
        config: PrepConfig,
        engine: Engine,
        spool_path: str | None,
        base: Base | None = None,
    ) -> None:
        self._tables, self._base = tables.all, base
        for one in self._tables:
            ImageSource(one.images_dir)  # Its folder is there.
        self._base_rows = [_base_rows(one.table, base) for one in self._tables]
        self._new_rows = [np.flatnonzero(rows < 0) for rows in self._base_rows]
        self._found = [
            find_files(one.images_dir, [one.table.ids[row] for row in rows], config.extension)
            for one, rows in zip(self._tables, self._new_rows, strict=True)
        ]
        self.notes = tuple(
            line
            for one, found in zip(self._tables, self._found, strict=True)
            if (line := describe_odd(found, one.table.file))
        )
        parts: list[_Part] = []
        for index, one in enumerate(self._tables):
            rows, files = self._new_rows[index], self._found[index].files
            parts += _parts(index, one, rows, files, config, engine.workers)
        spool_path = _make_spool(spool_path)
        self._parts = _with_spools(parts, spool_path) if spool_path and parts else parts
        self._results = engine.map(check_files, [part.task for part in self._parts])

    def finish(self) -> CheckedImages:
        """Wait for the workers; what they found."""
        facts = [_known_facts(rows, self._base) for rows in self._base_rows]
        found: list[list[Problem]] = [[] for _ in self._tables]
        with progress.bar("checking", sum(map(len, self._new_rows))) as bar:
            for position, result in self._results:
                part = self._parts[position]
                table = self._tables[part.table].table
                facts[part.table][part.rows] = result.facts
                for problem in result.problems:
                    row = int(part.rows[problem.position])
                    # An empty id is a problem of its own already.
                    if table.ids[row]:
                        found[part.table].append(_problem(table, row, problem.kind, problem.detail))
                bar.add(len(result.facts), int(result.facts["num_bytes"].sum()))
        checked = []
        for index, one in enumerate(self._tables):
            files = self._files_of(index)
            found[index] = self._with_advice(index, found[index])
            found[index] += _same_file(one.table, files)
            if index:
                found[index] += _in_both(self._tables[0].table, one.table)
            known = CheckedTable(
                table=one.table,
                images_dir=one.images_dir,
                files=files,
                facts=facts[index],
                problems=one.table.problems,
                base_rows=self._base_rows[index],
            )
            checked.append(known.with_problems(found[index]))
        return CheckedImages(checked[0], checked[1] if len(checked) > 1 else None, self._base)

    def _files_of(self, index: int) -> tuple[str, ...]:
        """The files of a table's rows: those of old ids are as they were."""
        found = self._found[index].files
        if self._base is None:
            return found
        files = list(map(self._base.files.__getitem__, self._base_rows[index].tolist()))
        for row, file in zip(self._new_rows[index].tolist(), found, strict=True):
            files[row] = file
        return tuple(files)

    def _with_advice(self, index: int, problems: list[Problem]) -> list[Problem]:
        """The same problems; those of files that lie in a sub-folder say so."""
        if not self._found[index].missing:
            return problems
        one = self._tables[index]
        flag = "test_images_dir" if index else "images_dir"
        files = self._found[index].files
        advice = advise(one.images_dir, files, self._found[index], flag)
        numbers = one.table.csv_rows[self._new_rows[index]]
        by_row = {int(numbers[position]): text for position, text in advice.items()}
        return [
            problem._replace(detail=f"{problem.detail}; {by_row[problem.row]}")
            if problem.kind == "missing image" and problem.row in by_row
            else problem
            for problem in problems
        ]


def _base_rows(table: LabelTable, base: Base | None) -> np.ndarray:
    return base.rows_of(table.ids) if base else np.full(len(table.ids), -1, np.int64)


def _known_facts(base_rows: np.ndarray, base: Base | None) -> np.ndarray:
    """The facts that the index has: nothing of new rows."""
    facts = np.zeros(len(base_rows), FACTS_DTYPE)
    if base is not None:
        old = np.flatnonzero(base_rows >= 0)
        facts["sha256"][old] = base.sha256[base_rows[old]]
        if base.difference_hash is not None:
            facts["difference_hash"][old] = base.difference_hash[base_rows[old]]
    return facts


def _problem(table: LabelTable, row: int, kind: str, detail: str) -> Problem:
    return Problem(table.file, int(table.csv_rows[row]), table.ids[row], kind, detail)


def _parts(
    index: int,
    one: ImageTable,
    rows: np.ndarray,
    files: tuple[str, ...],
    config: PrepConfig,
    workers: int,
) -> list[_Part]:
    """The tasks that check the files of some rows of a table."""
    sample: set[int] = set()
    if config.short_side_px or config.max_side_px or config.square_px:
        count = max(_MIN_SAMPLED_ROWS, min(_MAX_SAMPLED_ROWS, len(files) // _ROWS_PER_SAMPLE))
        ids = [one.table.ids[row] for row in rows]
        sample = set(hashed_order(ids, "sample", config.seed)[:count].tolist())
    size = max(1, min(_MAX_FILES_PER_TASK, len(files) // (workers * _TASKS_PER_WORKER)))
    return [
        _Part(
            index,
            rows[start : start + size],
            CheckTask(
                images_dir=one.images_dir,
                files=files[start : start + size],
                options=config.image_options,
                decode_check=config.decode_check,
                near_duplicates=config.near_duplicates,
                follow_symlinks=config.follow_symlinks,
                sample=frozenset(at - start for at in sample if start <= at < start + size),
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


def _with_spools(parts: Sequence[_Part], path: str) -> list[_Part]:
    """Give tasks equal parts of the spool: all of them, or the first where they get too small."""
    size = max(_MIN_SPOOL_BYTES_PER_TASK, _MAX_SPOOL_BYTES // len(parts))
    return [
        dataclasses.replace(
            part, task=dataclasses.replace(part.task, spool=Spool(path, index * size, size))
        )
        if index < _MAX_SPOOL_BYTES // size
        else part
        for index, part in enumerate(parts)
    ]


def _same_file(table: LabelTable, files: Sequence[str]) -> list[Problem]:
    """Different ids that mean one file: `a` and `a.jpg`."""
    problems: list[Problem] = []
    if len(set(files)) == len(files):
        return problems
    first: dict[str, int] = {}
    for row, file in enumerate(files):
        before = first.setdefault(file, row)
        if before != row and table.ids[before] != table.ids[row]:
            detail = f"{file!r} is the file of row {table.csv_rows[before]} too"
            problems.append(_problem(table, row, "duplicate id", detail))
    return problems


def _in_both(table: LabelTable, test: LabelTable) -> list[Problem]:
    rows = dict(zip(table.ids, table.csv_rows.tolist(), strict=True))
    return [
        _problem(test, row, "duplicate id", f"the labeled CSV has it too, in row {rows[image_id]}")
        for row, image_id in enumerate(test.ids)
        if image_id in rows
    ]
