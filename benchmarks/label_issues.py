"""How many wrong labels ensemble.label_issues finds, beside cleanlab's ranking, and what that wins.

    python -m benchmarks.label_issues [--sets=digits,fashion] [--seeds=3] \
        [--backbone=efficientnet_lite0_imagenet.keras --preprocessing=127/128 --output_dir=DIR]

Labels of a set are flipped: 5, 10 and 20 % to any other class, and 10 % to the class that networks
take for the likeliest of the others. Heads that `--features=frozen` would solve are trained in five
folds on what is left, and each image's label is doubted by the head that did not see it. Without
--backbone the features are the pixels, and --head=mlp a small network. With it, `trainer.main`
computes them once a set.

    recall       share of the flipped labels among as many of the most doubtful
    AP           average precision of the ranking
    self, margin the same, ranked by self-confidence (cleanlab's default) and by normalized margin
                 (Northcutt et al. 2021, section 3.2), on the same probabilities
    accuracy     on clean test images, of a head trained on clean labels, on the flipped ones, and
                 without those that `label_issues` lists (or with the labels that it suggests), by
                 what data_prep.main --label_fixes makes of the table
    won back     share of the accuracy that the flips cost
"""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from absl import flags
from scipy.special import softmax
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.worth import sets
from data_prep.labels import LABEL_SOURCES, SourceOptions, apply_label_fixes
from ensemble.doubts import Doubt, doubt
from orchard import cli, storage
from orchard.formats import Decision, LabelFix, Task, label_fixes_csv
from trainer.heads import HEADS, FeatureRows, HeadLoss, choose_head, inner_folds

_SETS = flags.DEFINE_list("sets", ["digits", "fashion"], "Of benchmarks.worth.sets.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Sets of flips, each with heads of their own.")
_HEADS = flags.DEFINE_list("heads", ["mlp"], "Heads; their probabilities are averaged.")
_BACKBONE = flags.DEFINE_string("backbone", "", "A pretrained .keras file.")
_PREPROCESSING = flags.DEFINE_string("preprocessing", "auto", "As in trainer.main.")
_IMAGE_SIZE = flags.DEFINE_string("image_size", "64", "As in trainer.main.")
_MAX_TEST = flags.DEFINE_integer("max_test", 2000, "Test images of a set.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "label_issues_benchmark", "For what is kept.")
_FASHION_DIR = flags.DEFINE_string(
    "fashion_dir", "/usr/share/datasets/fashion-mnist", "Where Fashion-MNIST's four files are."
)
_MISSED_CSV = flags.DEFINE_string("missed_csv", "", "Where to list the flips that were not found.")
_FOLDS = 5
_LOSS = HeadLoss(Task.SINGLE_LABEL)


@dataclass(frozen=True)
class Problem:
    """A set with features: of each image float32 [n, features], and its class, int [n]."""

    name: str
    class_names: tuple[str, ...]
    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    @property
    def ids(self) -> np.ndarray:
        """Of the images to train on."""
        return np.array([f"train_{row:05d}" for row in range(len(self.labels))])


def main() -> None:
    """Print a row a set and kind of flips, of the means over the seeds."""
    columns = ["set", "flips", "recall", "AP", "AP, self", "AP, margin", "listed", "clean"]
    columns += ["flipped", "without", "changed", "won back, without", "changed"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
    missed: list[list[str]] = []
    for name in _SETS.value:
        problem = load(name)
        clean = held_out_probabilities(problem, problem.labels, seed=0)
        for title, flip in _FLIPS.items():
            rows = []
            for seed in range(_SEEDS.value):
                rng = np.random.default_rng([seed, 17])
                noisy = flip(problem.labels, clean, rng)
                rows.append(measure(problem, noisy, seed, missed))
            print(f"| {name} | {title} | " + " | ".join(_cells(np.array(rows))) + " |", flush=True)
    if _MISSED_CSV.value:
        with open(_MISSED_CSV.value, "w", newline="") as file:
            csv.writer(file).writerows([["set", "seed", "id", "true", "given", "likeliest"]])
            csv.writer(file).writerows(missed)


def flip_at_random(share: float) -> Callable[..., np.ndarray]:
    """To any other class, each as likely."""

    def flip(labels: np.ndarray, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noisy, rows = labels.copy(), _some(labels, share, rng)
        steps = rng.integers(1, clean.shape[1], len(rows))
        noisy[rows] = (labels[rows] + steps) % clean.shape[1]
        return noisy

    return flip


def flip_to_likeliest(share: float) -> Callable[..., np.ndarray]:
    """To the class that networks of clean labels, which did not see the image, find likeliest."""

    def flip(labels: np.ndarray, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noisy, rows = labels.copy(), _some(labels, share, rng)
        others = clean[rows].copy()
        others[np.arange(len(rows)), labels[rows]] = -1
        noisy[rows] = others.argmax(axis=1)
        return noisy

    return flip


def _some(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(len(labels), round(share * len(labels)), replace=False)


_FLIPS = {
    "5 % at random": flip_at_random(0.05),
    "10 % at random": flip_at_random(0.10),
    "20 % at random": flip_at_random(0.20),
    "10 % to the likeliest": flip_to_likeliest(0.10),
}


def measure(problem: Problem, noisy: np.ndarray, seed: int, missed: list[list[str]]) -> list[float]:
    """The numbers of a table's row, for one set of flips; notes in `missed` what was not found."""
    wrong = noisy != problem.labels
    probabilities = held_out_probabilities(problem, noisy, seed)
    given = np.eye(len(problem.class_names), dtype=bool)[noisy]
    found = doubt(probabilities, given, Task.SINGLE_LABEL)
    top = np.argsort(-found.scores, kind="stable")[: wrong.sum()]
    for row in np.setdiff1d(np.flatnonzero(wrong), top):
        names = (problem.labels[row], noisy[row], probabilities[row].argmax())
        names = [problem.class_names[at] for at in names]
        missed.append([problem.name, str(seed), str(problem.ids[row]), *names])
    own = probabilities[np.arange(len(noisy)), noisy]
    others = np.where(given, -1, probabilities).max(axis=1)
    scores = (found.scores, -self_confidence(noisy, probabilities), others - own)
    kept = {
        decision: fixed(problem, noisy, found, decision)
        for decision in (Decision.DROP, Decision.CHANGE)
    }
    every = np.arange(len(noisy))
    trained_on = ((every, problem.labels), (every, noisy), *kept.values())
    accuracies = [accuracy(problem, *one, seed) for one in trained_on]
    return [
        wrong[top].mean(),
        *(average_precision_score(wrong, score) for score in scores),
        found.flagged.sum(),
        *accuracies,
    ]


def _cells(rows: np.ndarray) -> list[str]:
    means = rows.mean(axis=0)
    cells = [f"{mean:.3f}" for mean in means]
    cells[4] = f"{means[4]:.0f}"
    clean, noisy, without, changed = means[5:]
    lost = clean - noisy
    for accuracy_then in (without, changed):
        # Of less than a point lost a share says nothing.
        cells.append(f"{(accuracy_then - noisy) / lost:.0%}" if lost >= 0.01 else "(little lost)")
    return cells


def self_confidence(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Cleanlab's default score, higher is better: by cleanlab where it is installed."""
    try:
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        return probabilities[np.arange(len(labels)), labels]
    return get_label_quality_scores(labels, probabilities)


def held_out_probabilities(problem: Problem, labels: np.ndarray, seed: int) -> np.ndarray:
    """Float64 [n, classes], each row by heads that trained on the other folds."""
    result = np.zeros((len(labels), len(problem.class_names)))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    for seen, held_out in folds.split(problem.train, labels):
        result[held_out] = predict(problem, seen, labels[seen], problem.train[held_out], seed)
    return result


def accuracy(problem: Problem, rows: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """On the test images, of heads trained on some rows with these labels."""
    found = predict(problem, rows, labels, problem.test, seed).argmax(axis=1)
    return float((found == problem.test_labels).mean())


def predict(
    problem: Problem, rows: np.ndarray, labels: np.ndarray, features: np.ndarray, seed: int
) -> np.ndarray:
    """Mean probabilities of heads, their decay chosen as trainer.main chooses it."""
    targets = np.eye(len(problem.class_names), dtype=np.float32)[labels]
    groups = inner_folds(problem.ids[rows], np.zeros(len(rows), int))
    mean = np.zeros((len(features), targets.shape[1]))
    for kind in _HEADS.value:
        head = HEADS[kind](problem.train.shape[1], targets.shape[1], seed)
        choice = choose_head(head, _LOSS, FeatureRows((problem.train[rows],), targets, groups))
        standardized = (features - choice.mean) / choice.scale
        mean += softmax(head.logits(choice.parameters, standardized), axis=1)
    return mean / len(_HEADS.value)


def fixed(
    problem: Problem, noisy: np.ndarray, found: Doubt, decision: Decision
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels that data_prep.main --label_fixes leaves of a table, deciding all alike."""
    folder = Path(_OUTPUT_DIR.value) / problem.name / "fixes"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = np.array(problem.class_names)
    with open(folder / "train.csv", "w", newline="") as file:
        rows = zip(problem.ids.tolist(), names[noisy].tolist(), strict=True)
        csv.writer(file).writerows([("image_id", "label"), *rows])
    fixes = [
        LabelFix(
            str(problem.ids[row]),
            (str(names[noisy[row]]),),
            (str(names[found.suggested[row].argmax()]),),
            decision,
        )
        for row in np.flatnonzero(found.flagged).tolist()
    ]
    path = folder / "label_fixes.csv"
    path.write_bytes(label_fixes_csv(fixes, Task.SINGLE_LABEL))
    options = SourceOptions(images_dir=str(folder / "images"), csv=str(folder / "train.csv"))
    table = apply_label_fixes(LABEL_SOURCES["csv"](options).read().labelled.table, str(path))
    left = np.searchsorted(problem.ids, np.array(table.ids))
    class_of = {name: at for at, name in enumerate(problem.class_names)}
    order = np.array([class_of[name] for name in table.class_names])
    return left, order[table.targets.matrix.argmax(axis=1)]


def load(name: str) -> Problem:
    """A set and its features."""
    train, test = sets.SETS[name](Path(_FASHION_DIR.value), 0)
    test = sets.Images(test.pixels[: _MAX_TEST.value], test.labels[: _MAX_TEST.value])
    class_names = tuple(sorted(set(train.labels)))
    features = backbone_features if _BACKBONE.value else pixel_features
    return Problem(
        name,
        class_names,
        *_with_labels(features(name, train, "train"), train, class_names),
        *_with_labels(features(name, test, "eval"), test, class_names),
    )


def _with_labels(
    features: np.ndarray, images: sets.Images, class_names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    return features, np.array([class_names.index(label) for label in images.labels])


def pixel_features(name: str, images: sets.Images, part: str) -> np.ndarray:
    """The pixels themselves, from 0 to 1; digits as they were before they were enlarged."""
    del part
    step = 4 if name == "digits" else 1
    return np.stack([one[::step, ::step].ravel() for one in images.pixels]).astype(np.float32) / 255


def backbone_features(name: str, images: sets.Images, part: str) -> np.ndarray:
    """What trainer.main --features=frozen computes, in the order of the images."""
    folder = Path(_OUTPUT_DIR.value) / name
    if not (folder / "run").exists():
        _compute_features(name, folder)
    from trainer.data import load_records

    records = load_records(str(folder / "data" / "photos" / "1.0.0"), part)
    parts = []
    for path in records.files:
        found = sorted((folder / "feature_cache").rglob(f"{os.path.basename(path)}.npz"))
        parts.append(np.load(found[0])["features"])
    rows = [int(image_id.rpartition("_")[2]) for image_id in records.ids.tolist()]
    return np.concatenate(parts)[np.argsort(rows)]


def _compute_features(name: str, folder: Path) -> None:
    from PIL import Image

    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = [("image_id", "label", "split")]
    train, test = sets.SETS[name](Path(_FASHION_DIR.value), 0)
    for part, images, most in (("train", train, None), ("eval", test, _MAX_TEST.value)):
        for row, pixels in enumerate(images.pixels[:most]):
            image_id = f"{part}_{row:05d}"
            Image.fromarray(pixels).save(folder / "images" / f"{image_id}.jpg", quality=95)
            rows.append((image_id, images.labels[row], part))
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    storage.write_bytes(str(folder / "photos.csv"), text.getvalue().encode())
    commands = (
        f"-m data_prep.main --csv={folder}/photos.csv --images_dir={folder}/images --name=photos "
        f"--version=1.0.0 --data_dir={folder}/data --split_column=split",
        f"-m trainer.main --dataset={folder}/data/photos/1.0.0 --run_dir={folder}/run "
        f"--architecture={_BACKBONE.value} --preprocessing={_PREPROCESSING.value} "
        f"--image_size={_IMAGE_SIZE.value} --features=frozen --noprogress",
    )
    for command in commands:
        with open(folder / "log.txt", "ab") as log:
            done = subprocess.run([sys.executable, *command.split()], stdout=log, stderr=log)
        if done.returncode:
            raise SystemExit(f"a command failed: see {folder}/log.txt")


if __name__ == "__main__":
    cli.run(main)
