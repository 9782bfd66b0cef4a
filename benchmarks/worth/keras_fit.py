r"""The simple thing: one network and Keras' own `fit`, as a careful user would write it.

    python -m benchmarks.worth.keras_fit --set_dir=DIR --network=lite0.keras --steps=600 \
        --image_size_px=64 --learning_rate=2e-3 --flip --seed=0 --output=logits.npz

All labeled rows, AdamW, one epoch of warm-up and a cosine, dropout, flips; the weights after the
last step. Nothing of Orchard but the small networks and the format of the logits.
"""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import pandas as pd
from absl import app, flags
from PIL import Image

from orchard.formats import save_logits

BATCH_SIZE = 32

_SET_DIR = flags.DEFINE_string("set_dir", None, "As sets.py wrote it.", required=True)
_NETWORK = flags.DEFINE_string("network", None, ".keras file, or of networks.py.", required=True)
_STEPS = flags.DEFINE_integer("steps", None, "Of 32 images.", required=True)
_SIZE_PX = flags.DEFINE_integer("image_size_px", None, "Side of the images.", required=True)
_RATE = flags.DEFINE_float("learning_rate", None, "At the peak.", required=True)
_SMOOTHING = flags.DEFINE_float("label_smoothing", 0.0, "As Keras has it.")
_FLIP = flags.DEFINE_bool("flip", False, "Mirror half of the images.")
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, order and flips.")
_OUTPUT = flags.DEFINE_string("output", None, "The logits of the test images.", required=True)


def main(argv: list[str]) -> None:
    """Train, predict the test images, write their logits."""
    del argv
    keras.utils.set_random_seed(_SEED.value)
    folder = Path(_SET_DIR.value)
    table = pd.read_csv(folder / "train.csv")
    names = sorted(set(table["label"]))
    images, targets = (
        _read(folder, table["image_id"]),
        np.eye(len(names))[table["label"].map(names.index)],
    )
    model = _model(len(names))
    steps_per_epoch = -(-len(images) // BATCH_SIZE)
    warmup = min(steps_per_epoch, _STEPS.value // 5)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, _STEPS.value - warmup, warmup_target=_RATE.value, warmup_steps=warmup
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.02),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=_SMOOTHING.value),
        jit_compile=False,
    )
    model.fit(
        _Batches(images, targets, _STEPS.value, _SEED.value), epochs=1, shuffle=False, verbose=0
    )
    test = pd.read_csv(folder / "test_labels.csv")
    logits = model.predict(_read(folder, test["image_id"]), batch_size=64, verbose=0)
    truth = np.eye(len(names), dtype=np.float32)[test["label"].map(names.index)]
    save_logits(_OUTPUT.value, test["image_id"].to_numpy(str), logits, truth, names)


class _Batches(keras.utils.PyDataset):
    """So many steps, in a new order each epoch."""

    def __init__(self, images: np.ndarray, targets: np.ndarray, steps: int, seed: int):
        super().__init__()
        generator = np.random.default_rng(seed)
        epochs = -(-steps * BATCH_SIZE // len(images))
        order = np.concatenate([generator.permutation(len(images)) for _ in range(epochs)])
        self._rows = order[: steps * BATCH_SIZE].reshape(steps, BATCH_SIZE)
        self._images, self._targets = images, targets

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._rows[step]
        return self._images[rows].astype(np.float32), self._targets[rows]


def _read(folder: Path, ids: pd.Series) -> np.ndarray:
    """uint8 [images, size, size, 3]."""
    size = (_SIZE_PX.value, _SIZE_PX.value)
    files = [folder / "images" / f"{image_id}.jpg" for image_id in ids]
    return np.stack([np.asarray(Image.open(f).convert("RGB").resize(size)) for f in files])


def _model(num_classes: int) -> keras.Model:
    if _NETWORK.value.endswith(".keras"):
        loaded = keras.models.load_model(_NETWORK.value, compile=False)
        backbone = keras.Model(
            loaded.inputs, loaded.layers[-2].output
        )  # Without its 1,000 classes.
    else:
        from benchmarks.worth import networks

        body = getattr(networks, _NETWORK.value)((_SIZE_PX.value, _SIZE_PX.value))
        pooled = keras.layers.GlobalAveragePooling2D()(body.output)
        backbone = keras.Model(body.input, pooled)
    inputs = x = keras.Input((_SIZE_PX.value, _SIZE_PX.value, 3))
    if _FLIP.value:
        x = keras.layers.RandomFlip("horizontal", seed=_SEED.value)(x)
    x = backbone(keras.layers.Rescaling(1 / 128, -127 / 128)(x))
    x = keras.layers.Dropout(0.2, seed=_SEED.value)(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(x))


if __name__ == "__main__":
    app.run(main)
