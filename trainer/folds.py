"""--fold=all: one run a fold, one after the other, and what they say together.

`run_dir/fold0/`, `fold1/`, ... are run directories; `run_dir/folds.json` and the printed table have
the scores on each held-out fold, their mean and spread, and those of all out-of-fold logits pooled:
every record scored once by a network that has not seen it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Logits, json_safe, load_logits, save_logits
from trainer.config import TrainConfig
from trainer.data import split_names
from trainer.evaluation import evaluate

FOLDS_FILE = "folds.json"
OUT_OF_FOLD_FILE = "out_of_fold.npz"
SCHEMA_VERSION = 1


def train_all(config: TrainConfig, started: float, train: Callable | None = None) -> int:
    """Train every fold that is not finished; the exit status of the first that was stopped, or 0.

    Args:
        config: with fold "all".
        started: time.monotonic() from which --max_minutes counts, for all folds together.
        train: stands in for `loop.train_and_evaluate`.
    """
    if train is None:
        from trainer.loop import train_and_evaluate as train
    folds = _folds(config)
    for fold in folds:
        print(f"fold {fold} of {', '.join(folds)}")
        status = train(fold_config(config, fold), started)
        if status:
            return status
    runs = [storage.read_json(storage.join(_fold_dir(config, f), "run.json")) for f in folds]
    scored = [
        load_logits(storage.join(_fold_dir(config, f), "eval_logits", f"fold{f}.npz"))
        for f in folds
    ]
    summary = summarize(runs, scored)
    pooled = _pool(scored)
    save_logits(
        storage.join(config.run_dir, OUT_OF_FOLD_FILE),
        pooled.ids,
        pooled.logits,
        pooled.targets,
        pooled.class_names,
    )
    storage.write_json(storage.join(config.run_dir, FOLDS_FILE), summary)
    print(table(summary))
    return 0


def fold_config(config: TrainConfig, fold: str) -> TrainConfig:
    """The config of one fold's own run."""
    return dataclasses.replace(config, fold=fold, run_dir=_fold_dir(config, fold))


def summarize(runs: list[dict[str, Any]], scored: list[Logits]) -> dict[str, Any]:
    """Scores by fold, mean, standard deviation (n - 1) and of the pooled out-of-fold logits."""
    names = list(runs[0]["scores"])
    values = {name: [run["scores"][name] for run in runs] for name in names}
    numbers = {name: _numbers(v) for name, v in values.items()}
    pooled = _pool(scored)
    summary = {
        "schema_version": SCHEMA_VERSION,
        "folds": {run["fold"]: run["scores"] for run in runs},
        "mean": {name: float(v.mean()) if len(v) else np.nan for name, v in numbers.items()},
        "spread": {
            name: float(v.std(ddof=1)) if len(v) > 1 else np.nan for name, v in numbers.items()
        },
        "pooled": evaluate(pooled.logits, pooled.targets, runs[0]["task"]),
    }
    return json_safe(summary)


def table(summary: dict[str, Any]) -> str:
    """The summary as text: a row a metric, a column a fold."""
    columns = {f"fold {fold}": scores for fold, scores in summary["folds"].items()}
    columns |= {name: summary[name] for name in ("mean", "spread", "pooled")}
    lines = [" " * 17 + "".join(f"{title:>9}" for title in columns)]
    for metric in summary["mean"]:
        values = [scores[metric] for scores in columns.values()]
        cells = ("nan" if value is None else f"{value:.4f}" for value in values)
        lines.append(f"{metric:<17}" + "".join(f"{cell:>9}" for cell in cells))
    return "\n".join(lines)


def _numbers(scores: list[float | None]) -> np.ndarray:
    """The scores that are numbers: JSON has null for NaN."""
    numbers = np.array(scores, float)
    return numbers[~np.isnan(numbers)]


def _folds(config: TrainConfig) -> list[str]:
    names = [name for name in split_names(config.dataset) if name.startswith("fold")]
    if len(names) < 2:
        raise OrchardError(
            f"--fold=all: {config.dataset} has no folds; prepare it with data_prep.main --folds=5"
        )
    return [name.removeprefix("fold") for name in names]


def _fold_dir(config: TrainConfig, fold: str) -> str:
    return storage.join(config.run_dir, f"fold{fold}")


def _pool(scored: list[Logits]) -> Logits:
    return Logits(
        np.concatenate([s.ids for s in scored]),
        np.concatenate([s.logits for s in scored]),
        np.concatenate([s.targets for s in scored]),
        scored[0].class_names,
    )
