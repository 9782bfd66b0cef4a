"""The data sets: real images that PyPI and Debian give, as a CSV of labels and a folder of JPEGs.

| set | images | where from |
|---|---|---|
| solar | 2,223 photos of solar cells, 4 unequal classes | `pip install elpv-dataset` |
| fashion | 2,000 of Fashion-MNIST | `apt install dataset-fashion-mnist` |
| fashion_10k | 10,000 of Fashion-MNIST | likewise |
| digits | 600 of scikit-learn's handwritten digits | scikit-learn |

What is trained on and what is tested on is the same for all contenders and seeds. Of solar there
are three splits: each third of its photos is tested on by networks that learned from the others.
"""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

NUM_FOLDS = 3
_FASHION_CLASSES = (
    *("tshirt_top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle_boot"),
)


class Images(NamedTuple):
    """Images and the name of the class of each: those to train on, or those to test on."""

    pixels: list[np.ndarray]  # uint8 [height, width], gray.
    labels: list[str]


class ImageSet(NamedTuple):
    """Both parts of a data set."""

    train: Images
    test: Images


def write(name: str, split: int, folder: Path, fashion_dir: Path) -> None:
    """Write train.csv, test.csv (without labels), test_labels.csv and images/ of a set.

    Args:
        name: of the set.
        split: which part of it is tested on: of solar 0, 1 or 2, of the others 0.
        folder: where to.
        fashion_dir: where Fashion-MNIST's four files are.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for part, which in zip(SETS[name](fashion_dir, split), ("train", "test"), strict=True):
        ids = [f"{which}_{number:05d}" for number in range(len(part.labels))]
        for image_id, pixels in zip(ids, part.pixels, strict=True):
            Image.fromarray(pixels).save(images / f"{image_id}.jpg", quality=95)
        labels = pd.DataFrame({"image_id": ids, "label": part.labels})
        if which == "test":
            labels.to_csv(folder / "test_labels.csv", index=False)
            labels = labels[["image_id"]]
        labels.to_csv(folder / f"{which}.csv", index=False)


def _solar(fashion_dir: Path, split: int) -> ImageSet:
    # Deitsch et al. 2019, "Automatic classification of defective photovoltaic module cells in
    # electroluminescence images". Cells that its experts were sure of, by kind and state.
    del fashion_dir
    try:
        from elpv_dataset import utils
    except ImportError:
        raise SystemExit("the set 'solar' needs its photos: pip install elpv-dataset") from None
    pixels, defect, kind = utils.load_dataset()
    sure = np.isin(defect, (0.0, 1.0))
    state = np.where(defect[sure] == 1, "defective", "intact")
    labels = np.char.add(np.char.add(kind[sure], "_"), state)
    return _split(list(pixels[sure]), list(labels), test_share=1 / 3, split=split)


def _fashion(num_train: int, num_test: int) -> Callable[[Path, int], ImageSet]:
    def load(fashion_dir: Path, split: int) -> ImageSet:
        del split
        return ImageSet(_idx(fashion_dir, "train", num_train), _idx(fashion_dir, "t10k", num_test))

    return load


def _idx(folder: Path, part: str, count: int) -> Images:
    """The first `count` images of a pair of IDX files."""
    if not folder.is_dir():
        raise SystemExit(
            f"there is no {folder}, where Debian's dataset-fashion-mnist has its files: "
            "apt install dataset-fashion-mnist, or say --fashion_dir"
        )
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return Images(list(pixels[:count]), [_FASHION_CLASSES[at] for at in labels[:count]])


def _digits(fashion_dir: Path, split: int) -> ImageSet:
    del fashion_dir, split
    data = load_digits()
    pixels = np.round(data.images * (255 / 16)).astype(np.uint8)
    # JPEG's blocks are 8x8: enlarged, a digit loses nothing.
    enlarged = [one.repeat(4, axis=0).repeat(4, axis=1) for one in pixels]
    return _split(enlarged, [f"digit_{digit}" for digit in data.target], test_share=2 / 3)


def _split(
    pixels: list[np.ndarray], labels: list[str], test_share: float, split: int = 0
) -> ImageSet:
    """Tested on is a share of the images, or as many of the others: the first or second half."""
    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=test_share, stratify=labels, random_state=0)
    if split:
        others = [labels[row] for row in train]
        test = train_test_split(train, test_size=1 / 2, stratify=others, random_state=0)[split - 1]
        train = np.setdiff1d(rows, test)
    parts = [Images([pixels[i] for i in at], [labels[i] for i in at]) for at in (train, test)]
    return ImageSet(*parts)


SETS: dict[str, Callable[[Path, int], ImageSet]] = {
    "solar": _solar,
    "fashion": _fashion(2_000, 5_000),
    "fashion_small": _fashion(2_000, 2_000),  # For `benchmarks.ensemble_quality` alone.
    "fashion_10k": _fashion(10_000, 10_000),
    "digits": _digits,
}
