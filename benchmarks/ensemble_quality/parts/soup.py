"""The part `soup`: the mean of six fine-tunings of one start, against the best of them.

For each seed, on one fold of 2,000 images of Fashion-MNIST: a linear head is solved on the frozen
network (the start, one a fold), then six trainings go on from there, which differ in their seed
alone. The soups and the best ingredient are chosen on the fold, and scored on 2,000 test images.
With --soup_rate one sees where the mean of such trainings stops being a network.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from absl import flags

from benchmarks.ensemble_quality.parts import PARTS
from benchmarks.ensemble_quality.pools import inputs
from benchmarks.worth import jobs, networks, prepared, sets
from ensemble import EnsembleConfig, run
from ensemble.combine import activate
from ensemble.scoring.scores import score
from ensemble.souping import Recipe, find_ingredients, make_soup
from orchard.formats import RunDir, RunRecord, Task
from trainer.augment import AugmentOptions
from trainer.config import TrainConfig
from trainer.evaluation import METRICS
from trainer.loop import train_and_evaluate

_SEEDS = flags.DEFINE_integer("soup_seeds", 10, "(soup) Soups of each kind.")
_FIRST = flags.DEFINE_integer("soup_first", 0, "(soup) The first seed, to share seeds out.")
_STEPS = flags.DEFINE_integer("soup_steps", 150, "(soup) Steps of each fine-tuning.")
_RATE = flags.DEFINE_float("soup_rate", 1e-4, "(soup) Peak of the learning rate.")

_SET = "fashion_small"
_SIZE = "48"
_INGREDIENTS = 6
_METRICS = ("accuracy", "log_loss", "roc_auc")
# Chooses among the ingredients: it sees more of 667 images than the share that is right.
_JUDGE = "log_loss"


@PARTS.register("soup")
def soup() -> None:
    """Print a row for each seed, and what they come to."""
    output, backbones, fashion_dir = inputs()
    folder = jobs.Folder(output, _SET)
    prepared.prepare(folder, fashion_dir)
    titles = ("best", "mean of six", "uniform", "greedy", "ensemble of six")
    header = [f"{metric}: {title}" for metric in _METRICS for title in titles]
    print(f"| seed | greedy of six | {' | '.join(header)} |")
    print("|---|---|" + "---|" * len(header))
    found = []
    for seed in range(_FIRST.value, _FIRST.value + _SEEDS.value):
        used, scores = _scores(folder, backbones[0], seed)
        found.append(scores)
        cells = [f"{scores[metric][title]:.4f}" for metric in _METRICS for title in titles]
        print(f"| {seed} | {used} | {' | '.join(cells)} |", flush=True)
    for metric in _METRICS:
        sign = 1.0 if METRICS[metric].higher_is_better else -1.0
        for title in titles[1:]:
            gains = sign * np.array([one[metric][title] - one[metric]["best"] for one in found])
            print(f"{metric}, {title} against the best: {_summary(gains)}")


def _summary(gains: np.ndarray) -> str:
    """Mean with its 95% interval by drawing seeds with replacement, and how often it is not < 0."""
    drawn = np.random.default_rng(0).choice(gains, (10_000, len(gains))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    no_worse = f"no worse in {np.sum(gains >= 0)} of {len(gains)}"
    return f"{gains.mean():+.4f} ({low:+.4f} to {high:+.4f}), {no_worse}"


def _scores(
    folder: jobs.Folder, backbone: str, seed: int
) -> tuple[int, dict[str, dict[str, float]]]:
    """How many the greedy soup used, and metric -> title -> score on the test images."""
    fold = seed % sets.NUM_FOLDS
    start = folder.runs / f"head-fold{fold}"
    _train(_config(folder, backbone, start, fold, features="frozen"))
    name = f"tune-{_RATE.value:g}-{_STEPS.value}-seed{seed}"
    tuned = [folder.runs / f"{name}-{number}" for number in range(_INGREDIENTS)]
    for number, run_dir in enumerate(tuned):
        _train(
            _config(
                folder,
                backbone,
                run_dir,
                fold,
                weights=str(start),
                seed=100 * (seed + 1) + number,
                learning_rate=_RATE.value,
                batch_norm="frozen",
                augment=AugmentOptions(flips="horizontal"),
                epochs=0.01,
                min_steps=_STEPS.value,
                max_epochs=0,
                num_evals=1,
                best_metric="last",
            )
        )
    soups = {}
    for recipe in Recipe:
        soups[recipe] = folder.runs / f"{name}-{recipe.value}"
        pantry = find_ingredients(list(map(str, tuned)))
        made = make_soup(pantry, str(soups[recipe]), recipe=recipe, metric=_JUDGE)
    logits, targets = _test_logits(folder, [*tuned, *soups.values()])
    alone = [_record(run_dir).scores[_JUDGE] for run_dir in tuned]
    used = sum(one.used for one in made.record.soup.ingredients) if made.record.soup else 0
    of_run = dict(zip([*tuned, *soups.values()], logits, strict=True))
    of_title = {
        "best": of_run[tuned[int(np.argmin(alone))]],
        "uniform": of_run[soups[Recipe.UNIFORM]],
        "greedy": of_run[soups[Recipe.GREEDY]],
        "ensemble of six": np.mean([of_run[one] for one in tuned], axis=0),
    }
    by_metric = {}
    for metric in _METRICS:
        scored = _scorer(metric, targets)
        by_metric[metric] = {title: scored(one) for title, one in of_title.items()}
        by_metric[metric]["mean of six"] = float(np.mean([scored(of_run[one]) for one in tuned]))
    return used, by_metric


def _config(
    folder: jobs.Folder, backbone: str, run_dir: Path, fold: int, **changes: object
) -> TrainConfig:
    shared = {
        "dataset": str(folder.dataset),
        "run_dir": str(run_dir),
        "architecture": backbone,
        "preprocessing": networks.PREPROCESSING,
        "image_size": _SIZE,
        "fold": str(fold),
        "batch_size": 32,
        "progress": False,
        "watch_preemption": False,
    }
    return TrainConfig(**(shared | changes))


def _train(config: TrainConfig) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # The table is for stdout.
        status = train_and_evaluate(config)
    if status:
        raise SystemExit(status)


def _record(run_dir: Path) -> RunRecord:
    return RunRecord.load(RunDir(str(run_dir)).record_file)


def _test_logits(folder: jobs.Folder, runs: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Float32 [runs, images, classes], and the targets."""
    result = run(
        EnsembleConfig(
            members=tuple(map(str, runs)),
            dataset=str(folder.dataset),
            output_dir=str(folder.ensemble),  # One for all: it keeps the logits of members.
            export=False,
        )
    )
    records = result.inputs.records
    table = pd.read_csv(folder.images / "test_labels.csv", dtype=str).set_index("image_id")
    labels = table["label"][records.ids.astype(str)].to_numpy()
    targets = labels[:, None] == np.array(records.class_names)
    return result.logits, targets.astype(np.float32)


def _scorer(metric: str, targets: np.ndarray) -> Callable[[np.ndarray], float]:
    task = Task.SINGLE_LABEL
    return lambda logits: score(metric, activate(logits, task), targets, task)
