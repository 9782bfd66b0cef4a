"""The recipes of an augmentation, a loss, a metric, a head and a logger, as a user follows them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchard import storage
from orchard.formats import load_logits

_ROOT = Path(__file__).parents[2]
_RECIPES = {
    "grayscale": "augmentation",
    "poly_loss": "loss",
    "matthews": "metric",
    "low_rank": "head",
    "csv_log": "logger",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder outside of the packages, with the module of each recipe."""
    root = tmp_path_factory.mktemp("recipes")
    for module, recipe in _RECIPES.items():
        page = (_ROOT / "docs" / "extending" / f"{recipe}.md").read_text()
        (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        (root / f"{module}.py").write_text(code)
    return root


_ALL = ",".join(_RECIPES)


def _run(folder, command, *arguments, plugins=_ALL):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    return subprocess.run(
        [sys.executable, "-m", command, f"--plugins={plugins}", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def train_flags(tiny_dataset, tiny_backbone, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    return [
        *(f"--dataset={tiny_dataset}", f"--run_dir={run_dir}", f"--architecture={tiny_backbone}"),
        *("--fold=0", "--image_size=16", "--weights=none", "--batch_size=8", "--epochs=1"),
        *("--loss=poly", "--poly_epsilon=2", "--grayscale=0.5", "--best_metric=matthews"),
        *("--noprogress", "--nowatch_preemption", "--loggers=csv"),
    ]


@pytest.fixture(scope="module")
def run_dir(folder, train_flags):
    done = _run(folder, "trainer.main", *train_flags)
    assert done.returncode == 0, done.stderr
    return train_flags[1].partition("=")[2]


def test_plugins_of_a_run_are_in_its_config_and_scores(run_dir):
    config = storage.read_json(storage.join(run_dir, "config.json"))
    assert (config["loss"], config["poly_epsilon"]) == ("poly", 2.0)
    assert config["augment"]["grayscale"] == 0.5
    run = storage.read_json(storage.join(run_dir, "run.json"))
    assert run["best_metric"] == "matthews" and -1 <= run["scores"]["matthews"] <= 1
    logits = load_logits(storage.join(run_dir, "eval_logits", "fold0.npz"))
    assert np.isfinite(logits.logits).all()


def test_logger_of_a_plugin_has_the_numbers_of_the_run(run_dir):
    text = storage.read_bytes(storage.join(run_dir, "metrics.csv")).decode()
    rows = [line.split(",") for line in text.splitlines()]
    scores = storage.read_json(storage.join(run_dir, "run.json"))["scores"]
    scored = {name: float(value) for kind, _, name, value in rows if kind == "eval"}
    assert scored.items() >= {"matthews": scores["matthews"], "f1": scores["f1"]}.items()
    assert {name for kind, _, name, _ in rows if kind == "train"} >= {"loss", "learning_rate"}


def test_run_resumed_without_its_plugins_is_refused_in_one_line(folder, run_dir, train_flags):
    theirs = ("loss", "poly_epsilon", "grayscale", "best_metric", "loggers")
    own = [flag for flag in train_flags if not flag[2:].startswith(theirs)]
    done = _run(folder, "trainer.main", *own, plugins="")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: config.json") and "--plugins" in last


def test_ensemble_of_a_plugins_metric_is_judged_by_it(folder, run_dir, tiny_dataset):
    done = _run(
        folder,
        "ensemble.main",
        *("--metric=matthews", "--weights=greedy", f"--members={run_dir}", "--split=fold1"),
        *(f"--dataset={tiny_dataset}", "--output_dir=out", "--noexport"),
    )
    assert done.returncode == 0, done.stderr
    assert storage.read_json(str(folder / "out" / "weights.json"))["metric"] == "matthews"
    assert "matthews" in (folder / "out" / "report.html").read_text()


def test_head_of_a_plugin_is_solved_on_frozen_features(folder, tiny_dataset, tiny_backbone):
    done = _run(
        folder,
        "trainer.main",
        *(f"--dataset={tiny_dataset}", "--run_dir=frozen", f"--architecture={tiny_backbone}"),
        *("--fold=0", "--image_size=16", "--features=frozen", "--head=low_rank"),
    )
    assert done.returncode == 0, done.stderr
    run = storage.read_json(str(folder / "frozen" / "run.json"))
    assert run["head"]["kind"] == "low_rank" and len(run["head"]["tried"]) >= 2
    assert run["scores"]["accuracy"] > 0.6  # Of three classes.


def test_contact_sheet_of_a_plugins_augmentation_has_a_row_for_it(folder, tiny_dataset):
    done = _run(
        folder,
        "trainer.preview",
        *(f"--dataset={tiny_dataset}", "--output=sheet.png", "--image_size=32", "--columns=1"),
        "--each",
        plugins="grayscale",
    )
    assert done.returncode == 0, done.stderr
    sheet = np.asarray(Image.open(folder / "sheet.png")).astype(int)
    # 14 come with us; images of 32 px are drawn twice as large.
    assert sheet.shape[0] == 15 * 96 + 6
    rows = [6 + number * 96 + 26 for number in range(15)]
    grays = [
        number
        for number, top in enumerate(rows)
        if np.ptp(sheet[top : top + 64, 76 : 76 + 64], axis=2).max() == 0
    ]
    assert grays == [10]  # Before erasing.
