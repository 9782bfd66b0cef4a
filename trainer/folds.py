"""--fold=all and --refit: a run for each fold, one after the other, and the scores of all.

`run_dir/fold0/`, `fold1/`, ... are run directories; `run_dir/folds.json`, `report.html` and the
printed table have the scores on each held-out fold, their mean and spread, and those of all
out-of-fold logits pooled: every record scored once by a network that has not seen it. With
--refit, networks on all rows follow (`trainer.refit`). The same command goes on wherever it was
stopped, and a larger --refit later adds what it lacks.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from orchard import storage
from orchard.formats import (
    FoldsRecord,
    Logits,
    RunDir,
    RunRecord,
    json_safe,
    load_logits,
    repeat_fold_name,
    save_logits,
)
from trainer.config import TrainConfig
from trainer.data import ALL_FOLDS, all_folds
from trainer.evaluation import evaluate
from trainer.refit import exported_epochs, found_epochs, refit_config
from trainer.results import next_command, write_folds_report
from trainer.training import check_layout


def train_all(config: TrainConfig, started: float, train: Callable | None = None) -> int:
    """Train every fold, then every refit, that is not finished.

    Args:
        config: with fold "all", or with refits.
        started: time.monotonic() from which --max_minutes counts, for all of them together.
        train: stands in for `loop.train_and_evaluate`.

    Returns:
        The exit status of the first that was stopped, or 0.
    """
    if train is None:
        from trainer.loop import train_and_evaluate

        train = train_and_evaluate
    check_layout(config.run_dir, all_folds=True)
    epochs, folds = None, all_folds(config.dataset) if config.fold == ALL_FOLDS else []
    if folds:
        for fold in folds:
            print(f"fold {fold} of {', '.join(folds)}")
            status = train(fold_config(config, fold), started)
            if status:
                return status
        epochs = _bring_together(config, folds)
        write_report(config, folds)
    for number in range(config.refit):
        changed = refit_config(config, number, epochs)
        print(f"refit {number} of {config.refit}, seed {changed.seed}")
        status = train(changed, started)
        if status:
            return status
        if folds:
            write_report(config, folds)
    if folds:
        print(f"report: {RunDir(config.run_dir).report_file}")
    print(f"next: {next_command(config)}")
    return 0


def _bring_together(config: TrainConfig, folds: list[str]) -> float | None:
    """Score the finished folds together; returns the epochs that they found, if there are any."""
    folder = RunDir(config.run_dir)
    runs = [RunRecord.load(folder.fold(f).record_file) for f in folds]
    scored = [
        load_logits(folder.fold(f).eval_logits_file(repeat_fold_name(config.fold_repeat, f)))
        for f in folds
    ]
    exported, epochs = [], None
    if not config.is_frozen:  # A head is solved, and each chooses its weight decay on its own rows.
        exported = [exported_epochs(folder.fold(f).path, config.dataset) for f in folds]
        epochs = found_epochs(config, exported)
    summary = summarize(runs, scored, epochs)
    pooled = _pool(scored)
    save_logits(
        folder.out_of_fold_file,
        pooled.ids,
        pooled.logits,
        pooled.targets,
        pooled.class_names,
    )
    summary.save(folder.folds_file)
    print(table(summary))
    if config.refit and epochs is not None:
        listed = ", ".join(f"{each:.3g}" for each in exported)
        print(f"the folds exported their steps after {listed} epochs: refits take {epochs:g}")
    return epochs


def write_report(config: TrainConfig, folds: list[str]) -> None:
    """Write the report of the folds, which are finished, and of the refits that are."""
    folder = RunDir(config.run_dir)
    paths = {number: folder.refit(number).record_file for number in range(config.refit)}
    write_folds_report(
        config.run_dir,
        FoldsRecord.load(folder.folds_file),
        [RunRecord.load(folder.fold(fold).record_file) for fold in folds],
        load_logits(folder.out_of_fold_file),
        {number: RunRecord.load(path) for number, path in paths.items() if storage.exists(path)},
        config.refit,
    )


def fold_config(config: TrainConfig, fold: str) -> TrainConfig:
    """The config of one fold's own run."""
    run_dir = RunDir(config.run_dir).fold(fold).path
    weights = config.weights
    if storage.exists(RunDir(weights).folds_file):  # Each goes on from the run of the same fold.
        weights = RunDir(weights).fold(fold).path
    return dataclasses.replace(config, fold=fold, refit=0, run_dir=run_dir, weights=weights)


def summarize(runs: list[RunRecord], scored: list[Logits], epochs: float | None) -> FoldsRecord:
    """Scores by fold, mean, standard deviation (n - 1) and of the pooled out-of-fold logits.

    Args:
        runs: of the folds.
        scored: the held-out logits of each.
        epochs: the length that they found; None: heads on frozen features have none.
    """
    numbers = {name: _numbers([run.scores[name] for run in runs]) for name in runs[0].scores}
    pooled = _pool(scored)
    return FoldsRecord(
        folds={run.fold: run.scores for run in runs},
        mean={name: float(v.mean()) if len(v) else None for name, v in numbers.items()},
        spread={name: float(v.std(ddof=1)) if len(v) > 1 else None for name, v in numbers.items()},
        pooled=json_safe(evaluate(pooled.logits, pooled.targets, runs[0].task)),
        found_epochs=epochs,
    )


def table(summary: FoldsRecord) -> str:
    """The summary as text: a row a metric, a column a fold."""
    columns = {f"fold {fold}": scores for fold, scores in summary.folds.items()}
    columns |= {"mean": summary.mean, "spread": summary.spread, "pooled": summary.pooled}
    lines = [" " * 17 + "".join(f"{title:>9}" for title in columns)]
    for metric in summary.mean:
        values = [scores[metric] for scores in columns.values()]
        cells = ("nan" if value is None else f"{value:.4f}" for value in values)
        lines.append(f"{metric:<17}" + "".join(f"{cell:>9}" for cell in cells))
    return "\n".join(lines)


def _numbers(scores: list[float | None]) -> np.ndarray:
    """The scores that are numbers: JSON has null for NaN."""
    numbers = np.array(scores, float)
    return numbers[~np.isnan(numbers)]


def _pool(scored: list[Logits]) -> Logits:
    return Logits(
        np.concatenate([s.ids for s in scored]),
        np.concatenate([s.logits for s in scored]),
        np.concatenate([s.targets for s in scored]),
        scored[0].class_names,
    )
