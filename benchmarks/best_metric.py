r"""By which metric should the step be chosen whose weights go into an ensemble?

    python -m benchmarks.best_metric [--seeds=3] [--epochs=16]

Two networks are trained on three folds, and scored on the fold left out after each epoch. A metric
then picks one epoch of each: these are the members, and the mean of their logits is scored on test
images that picked nothing. "last" picks the end. The images are Fashion-MNIST's (the 2,000 + 500 of
examples/fashion_mnist, one label), and scikit-learn's digits with four labels each (even, above 4,
prime, drawn with a loop), a third of them for the test.
"""

import os
from collections.abc import Iterator

import numpy as np
import pandas as pd
from absl import app, flags
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, train_test_split

from orchard.formats import Task
from trainer.evaluation import evaluate, is_better
from trainer.keras_module import keras

FLAGS = flags.FLAGS
flags.DEFINE_integer("seeds", 3, "Repeats, with other folds and initial weights.")
flags.DEFINE_integer("epochs", 16, "Of each network.")

CHOICES = ("accuracy", "log_loss", "roc_auc", "last")
SHOWN = ("accuracy", "log_loss", "roc_auc")
NUM_FOLDS = 3
_DIGIT_LABELS = {"even": (0, 2, 4, 6, 8), "above 4": (5, 6, 7, 8, 9), "prime": (2, 3, 5, 7)}
_DIGIT_LABELS["loop"] = (0, 6, 8, 9)


def main(argv: list[str]) -> None:
    """Print, for each data set, test scores of members and ensembles by what picked the epochs."""
    del argv
    for name, task, load in (
        ("Fashion-MNIST", Task.SINGLE_LABEL, _fashion),
        ("digits", Task.MULTI_LABEL, _digits),
    ):
        rows: dict[tuple[str, str], list[dict[str, float]]] = {}
        for seed in range(FLAGS.seeds):
            images, targets, test_images, test_targets = load(seed)
            members = list(_members(images, targets, test_images, task, seed))
            for choice in CHOICES:
                picked = np.stack([_pick(*member, choice, task) for member in members])
                for logits in picked:
                    rows.setdefault((choice, "a member"), []).append(
                        evaluate(logits, test_targets, task)
                    )
                rows.setdefault((choice, "the ensemble"), []).append(
                    evaluate(picked.mean(axis=0), test_targets, task)
                )
        _print(name, rows)


def _print(name: str, rows: dict[tuple[str, str], list[dict[str, float]]]) -> None:
    print(f"\n| {name}: epochs picked by | of | " + " | ".join(SHOWN) + " |")
    print("|---|---|" + "---|" * len(SHOWN))
    for (choice, of), scores in sorted(rows.items(), key=lambda row: row[0][1]):
        cells = [f"{np.mean([score[metric] for score in scores]):.4f}" for metric in SHOWN]
        print(f"| {choice} | {of} | " + " | ".join(cells) + " |")
    ensembles = {choice: rows[choice, "the ensemble"] for choice in CHOICES}
    for metric in SHOWN:
        by_seed = {
            choice: " ".join(f"{score[metric]:.4f}" for score in scores)
            for choice, scores in ensembles.items()
        }
        print(f"{metric} of the ensemble by seed: {by_seed}")


def _pick(scores: list[dict[str, float]], logits: np.ndarray, choice: str, task: Task):
    """The test logits of the epoch that is best at `choice` on the fold left out."""
    if choice == "last":
        return logits[-1]
    best = 0
    for epoch, score in enumerate(scores):
        best = epoch if is_better(choice, score[choice], scores[best][choice]) else best
    return logits[best]


def _members(images, targets, test_images, task: Task, seed: int) -> Iterator[tuple]:
    """For each network and fold: scores on the fold, and test logits, after each epoch."""
    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed)
    for kept, left_out in folds.split(images, targets @ (2 ** np.arange(targets.shape[1]))):
        for at, body in enumerate(_networks()):
            keras.utils.set_random_seed(seed * 100 + at)
            model = keras.Sequential(
                [keras.Input(images.shape[1:]), *body, keras.layers.Dense(targets.shape[1])]
            )
            steps = FLAGS.epochs * -(-len(kept) // 32)
            loss = keras.losses.CategoricalCrossentropy(from_logits=True)
            if task == Task.MULTI_LABEL:
                loss = keras.losses.BinaryCrossentropy(from_logits=True)
            schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
            model.compile(keras.optimizers.AdamW(schedule), loss)
            scores, logits = [], []
            for _ in range(FLAGS.epochs):
                model.fit(images[kept], targets[kept], batch_size=32, epochs=1, verbose=0)
                on_fold = np.asarray(model(images[left_out], training=False))
                scores.append(evaluate(on_fold, targets[left_out], task))
                logits.append(np.asarray(model(test_images, training=False)))
            yield scores, np.stack(logits)


def _networks() -> list[list]:
    layers = keras.layers
    return [
        [layers.Flatten(), layers.Dense(96, "relu"), layers.Dropout(0.3)],
        [
            layers.Conv2D(16, 3, 2, "same", activation="relu"),
            layers.Conv2D(32, 3, 2, "same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
        ],
    ]


def _fashion(seed: int):
    del seed  # Its test images are given.
    folder = os.path.join("examples", "fashion_mnist")
    tables = [pd.read_csv(os.path.join(folder, csv)) for csv in ("train.csv", "test_labels.csv")]
    names = sorted(set(tables[0]["label"]))
    found = []
    for table in tables:
        files = [os.path.join(folder, "images", f"{i}.jpg") for i in table["image_id"]]
        images = [np.asarray(Image.open(f).convert("L"), np.float32) / 255 for f in files]
        found += [np.stack(images)[..., None], np.eye(len(names))[table["label"].map(names.index)]]
    return found


def _digits(seed: int):
    data = load_digits()
    images, test_images, digits, test_digits = train_test_split(
        data.images[..., None].astype(np.float32) / 16,
        data.target,
        test_size=1 / 3,
        stratify=data.target,
        random_state=seed,
    )

    def labels(of: np.ndarray) -> np.ndarray:
        return np.stack([np.isin(of, members) for members in _DIGIT_LABELS.values()], 1) * 1.0

    return images, labels(digits), test_images, labels(test_digits)


if __name__ == "__main__":
    app.run(main)
