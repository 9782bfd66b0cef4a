"""Networks of `benchmarks.worth` with their logits of test images, which none of them has seen.

A pool is one set, for one number of steps: of each of its three architectures the one of "3
architectures", the three seeds of the cheapest and the one that was trained for longest. What a
part fits, it fits on some of a pool's images, and scores it on the others.
"""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from absl import flags

from benchmarks.worth import jobs, plans, prepared
from benchmarks.worth.plans import SETTINGS, Training
from ensemble import EnsembleConfig, run

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "", "--output_dir of benchmarks.worth, where its networks are or go."
)
_BACKBONES = flags.DEFINE_list(
    "backbones", [], "Three .keras files with ImageNet weights that take 127/128: for the photos."
)
_FASHION_DIR = flags.DEFINE_string(
    "fashion_dir", "/usr/share/datasets/fashion-mnist", "Where Fashion-MNIST's four files are."
)
_POOLS = flags.DEFINE_list(
    "pools", [], "Only these, such as fashion_900 or digits_900; default: all that have networks."
)

# Contenders of `benchmarks.worth` whose networks saw all training images, by the same recipe.
_CONTENDERS = ("one network", "3 seeds", "3 architectures")


@dataclass(frozen=True)
class Pool:
    """Networks and what they say.

    Attributes:
        name: set and steps.
        runs: run directories.
        dataset: directory of the dataset, whose split `test` was predicted.
        labels_csv: labels of that split.
        names: of the networks.
        ids: unicode [images].
        logits: float32 [networks, images, classes].
        targets: float32 [images, classes], one-hot.
        flops: int64 [networks], of one image.
    """

    name: str
    runs: tuple[str, ...]
    dataset: str
    labels_csv: str
    names: tuple[str, ...]
    ids: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    flops: np.ndarray

    def take(self, networks: list[int]) -> "Pool":
        """Some of the networks."""
        return dataclasses.replace(
            self,
            runs=tuple(self.runs[at] for at in networks),
            names=tuple(self.names[at] for at in networks),
            logits=self.logits[networks],
            flops=self.flops[networks],
        )


def inputs() -> tuple[Path, list[str], Path]:
    """The folder of `benchmarks.worth`, the backbones, and where Fashion-MNIST is: as flags say."""
    if not _OUTPUT_DIR.value:
        raise SystemExit("name the folder of benchmarks.worth: --output_dir")
    output = Path(_OUTPUT_DIR.value).absolute()
    return output, _BACKBONES.value, Path(_FASHION_DIR.value)


def pools(repeat: int = 0) -> Iterator[Pool]:
    """The pools that are wanted; trains what is not finished.

    Args:
        repeat: of the networks' seeds.
    """
    output, backbones, _ = inputs()
    for set_name, setting in SETTINGS.items():
        for steps in setting.steps:
            name = f"{set_name}_{steps}"
            if _POOLS.value and name not in _POOLS.value:
                continue
            if setting.pretrained and not backbones:
                print(f"{name} needs --backbones: left out")
                continue
            yield _pool(output, name, set_name, steps, repeat)


def _pool(output: Path, name: str, set_name: str, steps: int, repeat: int) -> Pool:
    folder = jobs.Folder(output, set_name)
    contenders = plans.contenders(prepared.networks(set_name, _BACKBONES.value), steps, repeat)
    trainings = list(
        dict.fromkeys(
            training for one in contenders if one.name in _CONTENDERS for training in one.trainings
        )
    )
    prepared.prepare(folder, Path(_FASHION_DIR.value))
    setting = SETTINGS[set_name]
    jobs.run_all([(folder, setting, one) for one in trainings], os.cpu_count() or 1)
    runs = tuple(str(folder.run_dir(one)) for one in trainings)
    labels_csv = str(folder.images / "test_labels.csv")
    result = run(
        EnsembleConfig(
            members=runs,
            dataset=str(folder.dataset),
            output_dir=str(folder.ensemble),  # The one of `benchmarks.worth`, with its logits.
            export=False,
        )
    )
    records = result.inputs.records
    label_of = pd.read_csv(labels_csv, dtype=str).set_index("image_id")["label"]
    labels = label_of[records.ids.astype(str)].to_numpy()
    return Pool(
        name,
        runs,
        str(folder.dataset),
        labels_csv,
        tuple(map(_short_name, trainings)),
        records.ids,
        result.logits,
        (labels[:, None] == np.array(records.class_names)).astype(np.float32),
        np.array([price.flops_per_image for price in result.prices.members]),
    )


def _short_name(training: Training) -> str:
    return f"{training.network.name}, {training.steps} steps, seed {training.seed}"
