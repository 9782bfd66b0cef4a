"""python -m tests.torture.inputs FOLDER: what the campaigns with networks start from.

In a process of its own: the campaigns themselves need no TensorFlow.
"""

import sys
from pathlib import Path

import numpy as np

from tests.trainer import runs
from tests.trainer.datasets import jpeg, smooth_image, write_dataset

RUNS = ("run0", "run1")
_RECORDS_PER_SPLIT = 30
_SPLITS = ("fold0", "fold1", "fold2", "test")
_PHOTOS = 400


def make(folder: Path) -> None:
    """Dataset, network file, two runs from one start, and photos to predict."""
    from trainer.loop import train_and_evaluate

    dataset = _dataset(folder / "tiny" / "1.0.0")
    backbone = runs.tiny_backbone(folder / "tiny.keras")
    for seed, name in enumerate(RUNS):
        config = runs.config(
            dataset, backbone, folder / name, seed=seed, deterministic=True, weights="imagenet"
        )
        assert train_and_evaluate(config) == 0
    (folder / "photos").mkdir()
    for number in range(_PHOTOS):
        content = jpeg(smooth_image(number, 20, 24))
        (folder / "photos" / f"p{number:03d}.jpg").write_bytes(content)


def _dataset(path: Path) -> str:
    """Noisy pictures whose brightest channel tells the class, now and then the wrong one."""
    rng = np.random.default_rng(0)
    count = _RECORDS_PER_SPLIT * len(_SPLITS)
    labels = np.arange(count) % runs.NUM_CLASSES
    images = []
    for number, label in enumerate(labels):
        pixels = rng.integers(0, 200, (16, 16, 3))
        pixels[:, :, label if number % 5 else rng.integers(3)] += 40
        images.append(jpeg(pixels.astype(np.uint8)))
    splits = {
        name: list(range(at * _RECORDS_PER_SPLIT, (at + 1) * _RECORDS_PER_SPLIT))
        for at, name in enumerate(_SPLITS)
    }
    return write_dataset(path, images, labels, splits=splits, num_classes=runs.NUM_CLASSES)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
