"""What is compared: finished runs, and all folds of one command together."""

import functools
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchard import storage
from orchard.flags import Kind
from orchard.formats import (
    ComputeTime,
    FoldsRecord,
    Logits,
    RunDir,
    RunRecord,
    load_logits,
    total_time,
)
from trainer.config import TrainConfig
from trainer.data import ALL_FOLDS
from trainer.training import read_metrics


@dataclass(frozen=True)
class Entry:
    """One thing to compare: a finished run, or the runs of `--fold=all` together.

    Attributes:
        name: its path below the folder that is looked into; "." for the folder itself.
        path: its directory.
        runs: the record of the run, or those of the folds.
        run_dirs: where they are, in the same order.
        logits_file: of held-out images; None: there are none.
    """

    name: str
    path: str
    runs: tuple[RunRecord, ...]
    run_dirs: tuple[str, ...]
    logits_file: str | None

    @property
    def record(self) -> RunRecord:
        """Of the run, or of the first fold."""
        return self.runs[0]

    @property
    def is_folds(self) -> bool:
        """Whether it is all folds together."""
        return self.run_dirs[0] != self.path

    @functools.cached_property
    def logits(self) -> Logits | None:
        """The held-out logits in the order of their ids; None without any."""
        if self.logits_file is None:
            return None
        found = load_logits(self.logits_file)
        order = found.ids.argsort()
        return Logits(
            found.ids[order], found.logits[order], found.targets[order], found.class_names
        )

    @functools.cached_property
    def flags(self) -> dict[str, Any]:
        """The value of every flag that alters the result, by name."""
        values = TrainConfig.from_json(self.record.config).flags()
        if self.is_folds:
            values["fold"] = ALL_FOLDS
        kinds = {flag.name: flag.kind for flag in TrainConfig.flag_fields()}
        return {n: value for n, value in values.items() if kinds[n] != Kind.BOOKKEEPING}

    @property
    def time(self) -> ComputeTime | None:
        """What its training took, all folds together; None: not known."""
        return total_time([run.cost.time if run.cost else None for run in self.runs])

    @property
    def flops_per_image(self) -> int | None:
        """Of one prediction of one network; None: not known."""
        return self.record.cost.flops_per_image if self.record.cost else None

    @functools.cached_property
    def histories(self) -> tuple[list[dict[str, Any]], ...]:
        """The lines of each run's metrics.jsonl."""
        return tuple(read_metrics(run_dir) for run_dir in self.run_dirs)


def find_runs(folder: str) -> list[tuple[str, str]]:
    """(name, directory) of each finished run in `folder`, at any depth; a run has none inside."""
    return [(name, path) for name, path, is_run in _walk(folder) if is_run]


def _walk(folder: str, name: str = "") -> Iterator[tuple[str, str, bool]]:
    """(name, directory, whether it is a run) of runs and, before theirs, of all folds together."""
    names, files = storage.list_names(folder), RunDir(folder)
    if posixpath.basename(files.record_file) in names:
        yield name or ".", folder, True
        return
    if posixpath.basename(files.folds_file) in names:
        yield name or ".", folder, False
    for child in names:
        yield from _walk(storage.join(folder, child), f"{name}/{child}" if name else child)


def read_entries(folder: str) -> list[Entry]:
    """Every finished run in `folder`, and before its folds each command that trained them all."""
    found = [
        _of_run(name, path) if is_run else _of_folds(name, path)
        for name, path, is_run in _walk(folder)
    ]
    return [entry for entry in found if entry is not None]


def _of_run(name: str, path: str) -> Entry:
    run = RunRecord.load(RunDir(path).record_file)
    file = RunDir(path).eval_logits_file(run.eval_split) if run.eval_split else None
    return Entry(name, path, (run,), (path,), _if_there(file))


def _of_folds(name: str, path: str) -> Entry | None:
    """None where one of the folds is being trained again."""
    folder = RunDir(path)
    run_dirs = tuple(folder.fold(fold).path for fold in FoldsRecord.load(folder.folds_file).folds)
    if not all(storage.exists(RunDir(run_dir).record_file) for run_dir in run_dirs):
        return None
    runs = tuple(RunRecord.load(RunDir(run_dir).record_file) for run_dir in run_dirs)
    return Entry(name, path, runs, run_dirs, _if_there(folder.out_of_fold_file))


def _if_there(file: str | None) -> str | None:
    return file if file is not None and storage.exists(file) else None


def differing_flags(entries: Sequence[Entry]) -> list[str]:
    """Names of the flags that alter the result and in which the entries differ."""
    return differing([entry.flags for entry in entries])


def differing(values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names that do not stand for the same in all of them, in the order that they come in."""
    names = dict.fromkeys(name for one in values for name in one)
    return [name for name in names if len({str(one.get(name)) for one in values}) > 1]
