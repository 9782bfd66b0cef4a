"""Small artifacts of every kind, made before the code moved: what the code reads and repeats since.

They were made on commit 9503793, once, with a checkout of that commit as the current folder and
the versions of constraints.txt:

    PYTHONPATH=. .venv/bin/python -m tests.before.make tests/before

`tests/test_before.py` runs the same functions with today's code and compares. Made again with later
code the artifacts would prove nothing: don't, unless a format changes on purpose.

All commands run in one working folder and are given relative paths, so that no path of a machine is
in what they leave. Left out are lock files, what tells the time (run_log.json, TensorBoard events)
and reports, of which `digests.json` has the SHA-256 where they are the same in every run.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.augment import AugmentOptions
from trainer.augment.draw import draw_crops, draw_parameters
from trainer.data import order

ROOT = Path(__file__).parents[2]
_FASHION = ROOT / "examples" / "fashion_mnist"
# Name -> flags; --name, --version, --data_dir and --images_dir are the same for all.
DATASETS = {
    "names": ("--csv=inputs/names.csv", "--test_csv=inputs/test.csv", "--folds=2"),
    "many": (
        "--csv=inputs/many.csv",
        "--label_shape=names",
        "--eval_fraction=0.25",
        "--hosts=2",
        "--short_side=20",
        "--seed=5",
    ),
    "soft": (
        "--csv=inputs/soft.csv",
        "--folds=3",
        "--group_column=tree",
        "--square=16",
        "--jpeg_chroma=4:4:4",
    ),
}
TRAIN = (
    "--dataset=data/names/1.0.0",
    "--run_dir=runs/tiny",
    "--fold=all",
    "--architecture=tiny.keras",
    "--image_size=16",
    "--weights=none",
    "--batch_size=4",
    "--epochs=2",
    "--learning_rate=0.01",
    "--best_metric=log_loss",
    "--ema_momentum=0.9",
    "--rotate_degrees=10",
    "--crop_min_area=0.6",
    "--mixup_alpha=0.2",
    "--checkpoint_every_steps=2",
    "--log_every_steps=1",
    "--noprogress",
    "--nowatch_preemption",
    "--deterministic",
    "--accelerator=cpu",
    "--replicas=1",
)
ENSEMBLE = (
    "--members=runs/tiny",
    "--dataset=data/names/1.0.0",
    "--split=test",
    "--output_dir=ensemble",
    "--calibrate",
    "--soft_labels",
    "--batch_size=4",
    "--accelerator=cpu",
    "--replicas=1",
)
_LEFT_OUT = {"run_log.json", "report.html", ".lock", ".staging", "tensorboard"}
COLUMNS = AugmentOptions().columns
_AUGMENTATIONS = {
    "flips": AugmentOptions(),
    "plain": AugmentOptions(
        flips="both",
        quarter_turns=True,
        rotate_degrees=20,
        shear=0.2,
        zoom=0.3,
        translate=0.1,
        brightness=0.2,
        contrast=0.3,
        saturation=0.4,
    ),
    "erase": AugmentOptions(erase=0.7),
    "randaugment": AugmentOptions(randaugment_ops=2, randaugment_magnitude=7),
    "mixup": AugmentOptions(mixup_alpha=0.4),
    "cutmix": AugmentOptions(cutmix_alpha=1.0),
    "mixup_or_cutmix": AugmentOptions(mixup_alpha=0.2, cutmix_alpha=0.8),
}


def make(output: Path) -> None:
    """Make everything in a temporary folder and keep what belongs into the repository."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_inputs(work / "inputs")
        for name in DATASETS:
            prepare(work, name)
        write_backbone(work / "tiny.keras")
        run("trainer.main", TRAIN, work)
        run("ensemble.main", ENSEMBLE, work)
        np.savez_compressed(work / "orders.npz", **orders())
        np.savez_compressed(work / "draws.npz", **draws())
        digests = {
            str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(work.glob("data/*/1.0.0/report.html"))
        }
        (work / "digests.json").write_text(json.dumps(digests, indent=2) + "\n")
        for path in sorted(work.rglob("*")):
            name = path.relative_to(work)
            if path.is_file() and not _LEFT_OUT & set(name.parts):
                (output / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, output / name)


def run(module: str, flags: tuple[str, ...], work: Path) -> str:
    """Run a command of ROOT's code in the working folder; its output."""
    done = subprocess.run(
        [sys.executable, "-m", module, *flags],
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def prepare(work: Path, name: str) -> None:
    """Prepare one of DATASETS from `work/inputs` as `work/data/<name>/1.0.0`."""
    images = "inputs/images" if name == "soft" else str(_FASHION / "images")
    fixed = (f"--name={name}", "--version=1.0.0", "--data_dir=data", "--workers=2")
    run("data_prep.main", (*DATASETS[name], f"--images_dir={images}", *fixed), work)


def write_inputs(folder: Path) -> None:
    """The CSVs, and the odd pictures of `soft`; those of the others lie in the examples."""
    (folder / "images").mkdir(parents=True)
    train = (_FASHION / "train.csv").read_text().splitlines()[:25]
    _write_lines(folder / "names.csv", train)
    _write_lines(folder / "test.csv", (_FASHION / "test.csv").read_text().splitlines()[:7])
    tags = {"ankle_boot": "shoe warm", "sandal": "shoe", "sneaker": "shoe", "bag": "other"}
    tags |= {"coat": "top warm", "pullover": "top warm", "dress": "top bottom"}
    tags |= {"shirt": "top", "tshirt_top": "top", "trouser": "bottom"}
    many = [f"{image},{tags[label]}" for image, label in (row.split(",") for row in train[1:])]
    _write_lines(folder / "many.csv", ["image_id,tags", *many])
    soft = ["image_id,tree,rust,scab,healthy"]
    for number, name in enumerate(_write_odd_pictures(folder / "images")):
        shares = np.roll([[1, 0, 0], [0.7, 0.2, 0.1]][number % 2], number % 3)
        soft.append(",".join([name, f"tree{number // 2}", *(f"{share:g}" for share in shares)]))
    _write_lines(folder / "soft.csv", soft)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")


def _write_odd_pictures(folder: Path) -> list[str]:
    """Pictures of every kind that is encoded anew; their names."""
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = {
        "plain.jpg": ("RGB", {"format": "JPEG", "quality": 90}),
        "grey.jpg": ("L", {"format": "JPEG", "quality": 90}),
        "turned.jpg": ("RGB", {"format": "JPEG", "quality": 90, "exif": turned}),
        "cmyk.jpg": ("CMYK", {"format": "JPEG", "quality": 90}),
        "colours.png": ("RGB", {"format": "PNG"}),
        "alpha.png": ("RGBA", {"format": "PNG"}),
        "web.webp": ("RGB", {"format": "WEBP", "lossless": True}),
    }
    names = []
    for seed in range(12):
        kind = list(kinds)[seed % len(kinds)]
        mode, options = kinds[kind]
        noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
        size = (30 + seed, 24)
        picture = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)
        buffer = io.BytesIO()
        picture.save(buffer, **options)
        names.append(f"{seed:02d}_{kind}")
        (folder / names[-1]).write_bytes(buffer.getvalue())
    return names


def write_backbone(path: Path) -> None:
    """A convolutional classifier with dropout, BatchNorm and its own scaling."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.Conv2D(4, 3, strides=2, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.Dropout(0.2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(5, activation="softmax")(x)
    keras.Model(inputs, outputs).save(str(path))


def orders() -> dict[str, np.ndarray]:
    """What comes when, for both kinds of readers: epochs of them, and the steps of hosts.

    Of the large datasets the SHA-256 of the order: its int64 values, little-endian.
    """
    found = {}
    for records, mean_bytes, batch in ((24, 900.0, 4), (1000, 3e5, 32), (100_003, 4e4, 256)):
        files = (np.arange(records) // 77).astype(np.int32)
        kinds = {
            "local": order.random_access_options(),
            "block": order.block_options(records, mean_bytes, batch),
        }
        for kind, options in kinds.items():
            what = f"{kind}/{records}"
            blocks = order.cut_blocks(files, options.block_records)
            found[f"{what}/options"] = np.array(
                [options.lanes, options.block_records, options.window_records]
            )
            for seed, epoch in ((0, 0), (0, 1), (7, 0), (2**40 + 3, 12)):
                gids = order.epoch_order(seed, epoch, blocks, options)
                found[f"{what}/seed{seed}/epoch{epoch}"] = gids if records < 5000 else _digest(gids)
            hosts = 2 if options.lanes % 2 == 0 or kind == "local" else 1
            for host in range(hosts):
                stream = order.TrainOrder(
                    files, options, batch_size=batch, seed=3, num_hosts=hosts, host=host
                )
                for step in (0, 1, 11, 5000):
                    gids, epochs = stream.step(step)
                    found[f"{what}/step{step}/host{host}_of_{hosts}"] = np.stack([gids, epochs])
    return found


def _digest(values: np.ndarray) -> np.ndarray:
    return np.array(hashlib.sha256(values.astype("<i8").tobytes()).hexdigest())


def draws() -> dict[str, np.ndarray]:
    """The rows of augmentation parameters, and the crops, of some records in some epochs."""
    gids = np.concatenate([np.arange(10), [999, 2**31 + 5]])
    found = {}
    for seed, epoch in ((0, 0), (7, 3)):
        when = f"seed{seed}/epoch{epoch}"
        found[f"crops/{when}"] = draw_crops(seed, epoch, gids).numpy()
        for name, options in _AUGMENTATIONS.items():
            found[f"{name}/{when}"] = draw_parameters(seed, epoch, gids, options).numpy()
    return found


if __name__ == "__main__":
    make(Path(sys.argv[1]))
