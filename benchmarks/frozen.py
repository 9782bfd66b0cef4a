"""What a head on frozen features is worth, and costs, beside fine-tuning the same network.

    python -m benchmarks.frozen --backbone=efficientnet_lite0_imagenet.keras \
        --preprocessing=127/128 --dataset=DIR/fashion/1.0.0 --output_dir=/tmp/frozen

On each of --folds, in turn: --recipe=fast, then heads, scored on the held-out fold. Seconds are CPU
seconds of run.json (without starting and exporting), and in brackets those of whole commands. Then
heads of all folds and five seeds are solved in one process. Each row is a run of `trainer.main` and
goes on where it stopped (its whole command then took less than it says); features are computed
once, in runs on all folds that are not in the table. --folds= solves the many heads alone.

A feature costs one forward pass, so a head can afford larger images: --larger_size, in the last
row.
"""

import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
from absl import flags

from orchard import cli, storage
from orchard.formats import RunDir, RunRecord, fold_name
from trainer.data import all_folds, load_records
from trainer.features import FeatureView
from trainer.heads import HEADS, FeatureRows, HeadLoss, choose_head, inner_folds
from trainer.models import parse_image_size

_BACKBONE = flags.DEFINE_string("backbone", None, "A pretrained .keras file.", required=True)
_PREPROCESSING = flags.DEFINE_string("preprocessing", "auto", "As in trainer.main.")
_DATASET = flags.DEFINE_string("dataset", None, "Dataset with folds.", required=True)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where the runs go.", required=True)
_IMAGE_SIZE = flags.DEFINE_string("image_size", "64", "As in trainer.main.")
_LARGER_SIZE = flags.DEFINE_string("larger_size", "96", "Image size of one more head.")
_FOLDS = flags.DEFINE_list("folds", ["0", "1", "2"], "Held-out folds to compare on; empty: none.")

_VIEWS = ("--feature_views=4", "--flips=horizontal", "--zoom=0.1", "--translate=0.06")
_LARGER = "linear, 4 views, larger"
_VARIANTS = {
    "fine-tuned": ("--recipe=fast",),
    "linear": ("--features=frozen",),
    "mlp": ("--features=frozen", "--head=mlp"),
    "linear, 4 views": ("--features=frozen", *_VIEWS),
    _LARGER: ("--features=frozen", *_VIEWS),
}
_METRICS = ("accuracy", "log_loss", "roc_auc")
_SEEDS = 5


def main() -> None:
    """Train each variant on each fold, print the table, then solve many heads."""
    titles = [title for title in _VARIANTS if title.startswith("linear")]
    for title in titles if _FOLDS.value else ["linear"]:
        began = _cpu_seconds()
        _run(title, "none", _VARIANTS[title])
        print(f"{title}: features of all folds and a head, {_cpu_seconds() - began:.0f} CPU-s")
    if not _FOLDS.value:
        return _solve_many()
    whole: dict[str, list[float]] = {title: [] for title in _VARIANTS}
    for fold in _FOLDS.value:
        for title, variant in _VARIANTS.items():
            began = _cpu_seconds()
            _run(title, fold, variant)
            whole[title].append(_cpu_seconds() - began)
    _print_table(whole)
    _solve_many()


def _run_dir(title: str, fold: str) -> str:
    name = f"{title}-{fold}".replace(" ", "_").replace(",", "")
    return os.path.join(_OUTPUT_DIR.value, name)


def _run(title: str, fold: str, variant: tuple[str, ...]) -> None:
    size = _LARGER_SIZE.value if title == _LARGER else _IMAGE_SIZE.value
    command = [
        *(sys.executable, "-m", "trainer.main", f"--fold={fold}"),
        *(f"--run_dir={_run_dir(title, fold)}", f"--dataset={_DATASET.value}"),
        *(f"--architecture={_BACKBONE.value}", f"--preprocessing={_PREPROCESSING.value}"),
        *(f"--image_size={size}", "--noprogress", *variant),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _print_table(whole: dict[str, list[float]]) -> None:
    columns = ["", *_METRICS, "CPU-s (whole command)", "fine-tuned / it"]
    print("| " + " | ".join(columns) + " |")
    print("|---|" + "---|" * (len(columns) - 1))
    records = {
        title: [RunRecord.load(RunDir(_run_dir(title, fold)).record_file) for fold in _FOLDS.value]
        for title in _VARIANTS
    }
    costs = {title: [run.cost.time.cpu_seconds for run in runs] for title, runs in records.items()}
    for title, runs in records.items():
        cells = [_spread([run.scores[metric] for run in runs], 4) for metric in _METRICS]
        pairs = zip(costs["fine-tuned"], costs[title], strict=True)
        ratios = _spread([tuned / own for tuned, own in pairs], 1)
        cost = f"{statistics.mean(costs[title]):.1f} ({statistics.mean(whole[title]):.0f})"
        print("| " + " | ".join([title, *cells, cost, ratios]) + " |")


def _spread(values: list[float], digits: int) -> str:
    """Mean, and least and largest of several."""
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _solve_many() -> None:
    """Heads of all folds and of some seeds, on the features of view 0 that are kept by now."""
    folds = all_folds(_DATASET.value)
    records = load_records(_DATASET.value, "+".join(map(fold_name, folds)))
    features = _kept_features(list(records.files))
    split_of = np.repeat(
        np.arange(len(folds)),
        [len(load_records(_DATASET.value, fold_name(fold))) for fold in folds],
    )
    began, cpu_began = time.monotonic(), time.process_time()
    right = []
    for seed in range(_SEEDS):
        for held_out in range(len(folds)):
            seen = split_of != held_out
            head = HEADS["linear"](features.shape[1], records.targets.shape[1], seed)
            groups = inner_folds(records.ids[seen], split_of[seen])
            rows = FeatureRows((features[seen],), records.targets[seen], groups)
            choice = choose_head(head, HeadLoss(records.task), rows)
            standardized = (features[~seen] - choice.mean) / choice.scale
            answers = head.logits(choice.parameters, standardized).argmax(axis=1)
            right.append(float((answers == records.targets[~seen].argmax(axis=1)).mean()))
    wall, cpu = time.monotonic() - began, time.process_time() - cpu_began
    print(
        f"{len(right)} linear heads on {features.shape}: {wall:.1f} s on {os.cpu_count()} cores "
        f"with a load of {os.getloadavg()[0]:.1f}, {cpu:.1f} CPU-s; accuracy {_spread(right, 4)}"
    )


def _kept_features(files: list[str]) -> np.ndarray:
    cache = os.path.join(_OUTPUT_DIR.value, "feature_cache")
    for key in storage.list_names(cache):
        view = FeatureView.load(os.path.join(cache, key, "view.json"))
        if view.draw is None and view.image_size_px == parse_image_size(_IMAGE_SIZE.value):
            paths = [os.path.join(cache, key, f"{os.path.basename(path)}.npz") for path in files]
            return np.concatenate([np.load(path)["features"] for path in paths])
    raise SystemExit(f"{cache} holds no features of images as they are")


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    cli.run(main)
