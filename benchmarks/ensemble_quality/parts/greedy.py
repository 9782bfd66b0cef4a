"""The part `greedy`: are the weights right, and is the ensemble worth it? Beside AutoGluon.

Two data sets: Fashion-MNIST (the 2,000 + 500 images of examples/fashion_mnist) and scikit-learn's
handwritten digits (1,797 images, a third of them kept for the test). On each, four small networks
are trained on three folds. Their out-of-fold probabilities go to `ensemble.fitting` and, unchanged,
to AutoGluon's `EnsembleSelection` (autogluon.core in an environment of its own), for three metrics;
then everything is scored on the test images, which no weight has seen.
"""

import json
import os
import subprocess
import tempfile

import keras
import numpy as np
import pandas as pd
from absl import flags
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, train_test_split

from benchmarks.ensemble_quality.parts import PARTS
from ensemble.combine import activate
from ensemble.fitting import cross_fitted, greedy_selection, guard
from ensemble.scoring import difference_interval, regret, score
from orchard.formats import Task
from trainer.evaluation import is_better

_AUTOGLUON_PYTHON = flags.DEFINE_string(
    "autogluon_python", "", "(greedy) Python of an environment with autogluon.core."
)
_SEEDS = flags.DEFINE_integer("seeds", 1, "(greedy) Repeats, with other folds and first weights.")
_EPOCHS = flags.DEFINE_integer("epochs", 12, "(greedy) Of each network.")

TASK = Task.SINGLE_LABEL
METRICS = {"accuracy": "accuracy", "log_loss": "log_loss", "roc_auc": "roc_auc_ovr_macro"}
NUM_FOLDS = 3
# Reads predictions and labels, writes the order of the picks.
_AUTOGLUON = """
import json, sys
import numpy as np
from autogluon.core.metrics import get_metric
from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection
data = np.load(sys.argv[1])
picks = {}
for name in sys.argv[2].split(","):
    selection = EnsembleSelection(
        ensemble_size=25, problem_type="multiclass", metric=get_metric(name, "multiclass"),
        tie_breaker="second_metric", random_state=np.random.RandomState(0))
    selection.fit(predictions=list(data["p"]), labels=data["y"])
    picks[name] = [int(i) for i in selection.indices_]
print(json.dumps(picks))
"""


@PARTS.register("greedy")
def main() -> None:
    """Print, for each data set, seed and metric, the picks of both and all test scores."""
    for name, load in (("fashion_mnist", _fashion), ("digits", _digits)):
        for seed in range(_SEEDS.value):
            train, y_train, test, y_test = load(seed)
            held_out, on_test = _train_networks(train, y_train, test, seed)
            _compare(f"{name}, seed {seed}", held_out, y_train, on_test, y_test)


def _fashion(seed: int):
    del seed  # its test images are given
    folder = os.path.join("examples", "fashion_mnist")

    def read(csv: str):
        table = pd.read_csv(os.path.join(folder, csv))
        pixels = [Image.open(os.path.join(folder, "images", f"{i}.jpg")) for i in table["image_id"]]
        return np.stack([np.asarray(p.convert("L"), np.float32) / 255 for p in pixels]), table[
            "label"
        ]

    (train, train_labels), (test, test_labels) = read("train.csv"), read("test_labels.csv")
    names = sorted(set(train_labels))
    return train, train_labels.map(names.index).values, test, test_labels.map(names.index).values


def _digits(seed: int):
    data = load_digits()
    train, test, y_train, y_test = train_test_split(
        data.images.astype(np.float32) / 16,
        data.target,
        test_size=1 / 3,
        stratify=data.target,
        random_state=seed,
    )
    return train, y_train, test, y_test


def _networks(shape: tuple[int, int]) -> dict[str, list]:
    layers = keras.layers
    return {
        "linear": [layers.Flatten()],
        "mlp": [layers.Flatten(), layers.Dense(96, "relu"), layers.Dropout(0.3)],
        "cnn": [
            layers.Conv2D(16, 3, 2 if shape[0] > 16 else 1, "same", activation="relu"),
            layers.Conv2D(32, 3, 2, "same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
        ],
        "small_cnn": [
            layers.Conv2D(12, 5, 2, "same", activation="relu"),
            layers.Conv2D(24, 3, 2, "same", activation="relu"),
            layers.GlobalAveragePooling2D(),
        ],
    }


def _train_networks(train, labels, test, seed):
    """Out-of-fold and test logits: float32 [networks, rows, classes] each."""
    num_classes = int(labels.max()) + 1
    names = list(_networks(train.shape[1:]))
    held_out = np.zeros((len(names), len(train), num_classes), np.float32)
    on_test = np.zeros((len(names), len(test), num_classes), np.float32)
    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed)
    for kept, left_out in folds.split(train, labels):
        for at, name in enumerate(names):
            keras.utils.set_random_seed(seed * 100 + at)
            body = _networks(train.shape[1:])[name]
            model = keras.Sequential(
                [keras.Input((*train.shape[1:], 1)), *body, keras.layers.Dense(num_classes)]
            )
            model.compile(
                keras.optimizers.Adam(3e-3),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            )
            model.fit(
                train[kept, ..., None], labels[kept], batch_size=64, epochs=_EPOCHS.value, verbose=0
            )
            held_out[at, left_out] = model.predict(train[left_out, ..., None], verbose=0)
            on_test[at] += model.predict(test[..., None], verbose=0) / NUM_FOLDS
    return held_out, on_test


def _compare(title: str, held_out, y_held_out, on_test, y_test) -> None:
    p = np.stack([activate(one, TASK) for one in held_out])
    q = np.stack([activate(one, TASK) for one in on_test])
    targets, test_targets = (np.eye(p.shape[2])[y] for y in (y_held_out, y_test))
    theirs = _autogluon_picks(p, y_held_out)
    print(f"\n{title}: {len(targets)} held-out and {len(test_targets)} test images")
    for metric, their_name in METRICS.items():
        selection = _select(p, targets, metric)
        uniform = np.full(len(p), 1 / len(p))
        learned = cross_fitted(
            lambda rows, left_out, m=metric: np.tensordot(
                _select(p[:, rows], targets[rows], m).weights, p[:, left_out], axes=1
            ),
            targets,
        )
        verdict = guard(learned, p.mean(axis=0), metric, targets, TASK)
        weights = {
            "uniform": uniform,
            "greedy": selection.weights,
            "greedy, guarded": selection.weights if verdict.trusted else uniform,
        }
        if theirs:
            counts = np.bincount(theirs[their_name], minlength=len(p))
            weights["AutoGluon"] = counts / counts.sum()
            same = tuple(theirs[their_name]) == selection.order
            print(f"  {metric}: ours {list(selection.order)}")
            print(f"  {' ' * len(metric)}  AutoGluon {theirs[their_name]}: {_same(same)}")
        _print_scores(metric, q, weights, test_targets)


def _same(same: bool) -> str:
    return "the same picks" if same else "OTHER picks"


def _select(p, targets, metric):
    return greedy_selection(
        p,
        lambda mean: regret(metric, mean, targets, TASK),
        lambda mean: regret("log_loss", mean, targets, TASK),
    )


def _print_scores(metric: str, q, weights: dict[str, np.ndarray], targets) -> None:
    singles = [score(metric, one, targets, TASK) for one in q]
    best = 0
    for at, value in enumerate(singles):
        best = at if is_better(metric, value, singles[best]) else best
    name = list(_networks((28, 28)))[best]
    print(f"    best network  {singles[best]:.4f}  ({name})")
    for kind, w in weights.items():
        mean = np.tensordot(w, q, axes=1)
        gain, low, high = difference_interval(metric, mean, q[best], targets, TASK)
        print(
            f"    {kind:<16}{score(metric, mean, targets, TASK):.4f}  gain over the best "
            f"network {gain:+.4f} ({low:+.4f} to {high:+.4f})  weights {np.round(w, 2).tolist()}"
        )


def _autogluon_picks(p: np.ndarray, labels: np.ndarray) -> dict[str, list[int]]:
    if not _AUTOGLUON_PYTHON.value:
        return {}
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, p=p, y=labels)
        file.flush()
        command = [_AUTOGLUON_PYTHON.value, "-c", _AUTOGLUON, file.name, ",".join(METRICS.values())]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])
