"""What is made before anything is trained: datasets, and networks that know their price."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.worth import sets
from benchmarks.worth.jobs import Folder
from benchmarks.worth.plans import SETTINGS, Network
from trainer.keras_module import keras
from trainer.models import forward_flops

_FROM_SCRATCH = ("worth_cnn", "worth_resnet", "worth_separable")


def networks(name: str, backbones: Sequence[str]) -> tuple[Network, ...]:
    """The networks of a set, the one that is cheapest first, and their prices.

    Args:
        name: of the set.
        backbones: three .keras files with ImageNet weights, for sets that need them.
    """
    setting = SETTINGS[name]
    names = backbones if setting.pretrained else _FROM_SCRATCH
    if not names:
        raise SystemExit(f"the set {name} needs --backbones: .keras files with ImageNet weights")
    flops = [_flops(one, setting.image_size_px) for one in names]
    found = [
        Network(Path(one).stem, one, own / min(flops))
        for one, own in zip(names, flops, strict=True)
    ]
    return tuple(sorted(found, key=lambda network: network.price))


def _flops(architecture: str, size_px: int) -> int:
    shape = (size_px, size_px, 3)
    if architecture.endswith(".keras"):
        loaded = keras.models.load_model(architecture, compile=False)
        inputs = keras.Input(shape)
        return forward_flops(keras.Model(inputs, loaded(inputs)))
    from benchmarks.worth import networks

    return forward_flops(getattr(networks, architecture)(shape[:2]))


def prepare(folder: Folder, fashion_dir: Path) -> None:
    """Write the images and the dataset of a set; what is there stays."""
    if not (folder.images / "test_labels.csv").exists():
        sets.write(folder.set_name, folder.split, folder.images, fashion_dir)
    command = [
        *(sys.executable, "-m", "data_prep.main"),
        f"--csv={folder.images / 'train.csv'}",
        f"--test_csv={folder.images / 'test.csv'}",
        f"--images_dir={folder.images / 'images'}",
        f"--name={folder.name}",
        "--version=1.0.0",
        f"--data_dir={folder.dataset.parents[1]}",
        f"--folds={sets.NUM_FOLDS}",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
