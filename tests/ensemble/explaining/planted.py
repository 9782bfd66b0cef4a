"""A set in which a colored patch somewhere in a noisy picture is the class, and runs on it.

The last class has no patch: else one of the colors could be known by the absence of the others.
"""

from pathlib import Path

import numpy as np

from tests.trainer.datasets import jpeg, write_dataset
from trainer.config import TrainConfig
from trainer.loop import train_and_evaluate

SIDE_PX, PATCH_PX, NUM_CLASSES = 32, 10, 4
NO_PATCH = 3


def planted(label: int, generator: np.random.Generator) -> tuple[np.ndarray, tuple[int, int]]:
    """A picture uint8 [32, 32, 3], and the row and column where its patch begins."""
    pixels = generator.integers(0, 256, (SIDE_PX, SIDE_PX, 1)).repeat(3, axis=2)
    row, column = generator.integers(0, SIDE_PX - PATCH_PX + 1, 2).tolist()
    if label != NO_PATCH:
        color = np.full(3, 40)
        color[label] = 230
        pixels[row : row + PATCH_PX, column : column + PATCH_PX] = color
    return pixels.astype(np.uint8), (row, column)


def inside(x: float, y: float, place: tuple[int, int]) -> bool:
    """Whether a point, in shares of the sides, is in the patch."""
    row, column = y * SIDE_PX, x * SIDE_PX
    return 0 <= row - place[0] < PATCH_PX and 0 <= column - place[1] < PATCH_PX


def make_dataset(directory: Path, count: int = 120, wrong: int = 0):
    """Three folds; returns the path and the places of the patches by id, of those
    that have one.

    wrong: so many images of fold 0 have the label of the next class.
    """
    generator = np.random.default_rng(0)
    labels = np.arange(count) % NUM_CLASSES
    pictures = [planted(int(label), generator) for label in labels]
    splits = {f"fold{k}": [i for i in range(count) if i // NUM_CLASSES % 3 == k] for k in range(3)}
    given = labels.copy()
    given[splits["fold0"][:wrong]] = (given[splits["fold0"][:wrong]] + 1) % NUM_CLASSES
    path = write_dataset(
        directory,
        [jpeg(pixels) for pixels, _ in pictures],
        given,
        splits=splits,
        num_classes=NUM_CLASSES,
    )
    return path, {f"r{i}": place for i, (_, place) in enumerate(pictures) if labels[i] != NO_PATCH}


def backbone(path: Path) -> str:
    """A small convolutional classifier as a .keras file."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.GlobalMaxPooling2D()(x)
    keras.Model(inputs, layers.Dense(5)(x)).save(str(path))
    return str(path)


def train(dataset: str, architecture: str, run_dir: Path, **changes) -> str:
    """A run that has learned the patches; its directory."""
    flags = {
        "dataset": dataset,
        "run_dir": str(run_dir),
        "fold": "0",
        "architecture": architecture,
        "image_size": str(SIDE_PX),
        "weights": "none",
        "batch_size": 16,
        "epochs": 15,
        "learning_rate": 0.03,
        "eval_every_epochs": 15,
        "progress": False,
        "watch_preemption": False,
    }
    assert train_and_evaluate(TrainConfig(**{**flags, **changes})) == 0
    return str(run_dir)
