"""Tiny real datasets and members: JPEGs in TFRecords, SavedModels with the trainer's signatures."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ensemble import EnsembleConfig, run
from ensemble.result import Result
from orchard import storage
from orchard.formats import (
    ComputeTime,
    DatasetOfRun,
    Manifest,
    ShardInfo,
    SplitInfo,
    Task,
    TrainingCost,
    fingerprint_saved_model,
    tfrecord,
)
from tests.records import run_record

CLASS_NAMES = ("rust", "scab", "healthy")
_COLORS = np.array([[200, 60, 40], [60, 160, 60], [70, 80, 190]])


def jpeg(target: np.ndarray, generator: np.random.Generator, size=(24, 32)) -> bytes:
    """A noisy picture whose color shows its classes."""
    color = np.asarray(target) @ _COLORS / max(1.0, float(np.sum(target)))
    pixels = (
        color + generator.normal(scale=60, size=3) + generator.normal(scale=30, size=(*size, 3))
    )
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def make_targets(rows: int, task: str, generator: np.random.Generator) -> np.ndarray:
    if task == "single_label":
        return np.eye(3, dtype=np.float32)[generator.integers(3, size=rows)]
    targets = (generator.random((rows, 3)) < 0.4).astype(np.float32)
    targets[targets.sum(axis=1) == 0, 0] = 1.0
    return targets


def make_dataset(
    path: Path,
    splits: dict[str, int],
    task: str = "single_label",
    unlabeled: tuple[str, ...] = ("test",),
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Write a dataset directory; returns the true targets of each split."""
    generator = np.random.default_rng(seed)
    path.mkdir(parents=True)
    rows, infos, truth = [], {}, {}
    for split, count in splits.items():
        targets = make_targets(count, task, generator)
        truth[split] = targets
        stored = np.full_like(targets, -1) if split in unlabeled else targets
        shards = []
        for shard, part in enumerate(np.array_split(np.arange(count), 2)):
            name = f"leaves-{split}.tfrecord-{shard:05d}-of-00002"
            shards.append(_write_shard(path, name, split, shard, part, targets, stored, rows))
        counts = tuple(np.maximum(stored, 0).sum(axis=0).tolist())
        infos[split] = SplitInfo(tuple(shards), split not in unlabeled, counts)
    identity = hashlib.sha256(f"{splits}{task}{seed}".encode()).hexdigest()
    value = Manifest(
        "leaves",
        "1.0.0",
        identity,
        Task(task),
        CLASS_NAMES,
        infos,
        {},
        {},
        {},
    )
    storage.write_json(str(path / "manifest.json"), value.to_json())
    pd.DataFrame(rows).to_parquet(path / "records.parquet")
    (path / "features.json").write_text("{}")
    return truth


def _write_shard(path, name, split, shard, part, targets, stored, rows) -> ShardInfo:
    import tensorflow as tf

    generator = np.random.default_rng(shard + len(rows))
    offset = 0
    with tf.io.TFRecordWriter(str(path / name)) as writer:
        for row in part:
            image_id = f"{split}_{row:04d}"
            example = tf.train.Example()
            feature = example.features.feature
            feature["image"].bytes_list.value.append(jpeg(targets[row], generator))
            feature["image_id"].bytes_list.value.append(image_id.encode())
            feature["target"].float_list.value.extend(stored[row])
            data = example.SerializeToString()
            writer.write(data)
            rows.append(
                {
                    "id": image_id,
                    "split": split,
                    "shard": np.int32(shard),
                    "offset": offset,
                    "length": np.int32(len(data)),
                    "csv_row": int(row) + 2,
                    "image_crc32c": np.uint32(0),
                    "target": stored[row].tolist(),
                    "source_file": f"{image_id}.jpg",
                    "source_sha256": "",
                }
            )
            offset += len(data) + tfrecord.FRAME_OVERHEAD_BYTES
    content = (path / name).read_bytes()
    return ShardInfo(name, len(part), len(content), 0)


def make_member(
    path: Path,
    dataset: Path,
    *,
    size: tuple[int, int] = (16, 16),
    seed: int = 0,
    noise: float = 0.3,
    train_split: str = "fold1",
    eval_split: str | None = "fold0",
    task: str = "single_label",
    class_names: tuple[str, ...] = CLASS_NAMES,
    resize: str = "squash",
    eval_logits: bool = True,
    augment: dict | None = None,
    **overrides,
) -> Path:
    """A run directory as the trainer leaves it, with a color-matching network as its model."""
    import tensorflow as tf

    from trainer.data.decode import decode_image

    generator = np.random.default_rng(seed)
    height, width = size
    kernel = (_COLORS.T - 110) / 2000.0 + generator.normal(scale=noise / 100, size=(3, 3))

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(kernel, dtype=tf.float32)
            self.class_names = tf.Variable(class_names, trainable=False)
            self.image_size_px = tf.Variable([height, width], trainable=False)

        @tf.function(
            input_signature=[tf.TensorSpec([None, height, width, 3], tf.uint8, name="images")]
        )
        def from_images(self, images):
            # The left half counts more, so that mirrored views differ.
            ramp = tf.linspace(1.5, 0.5, width)[None, None, :, None]
            mean = tf.reduce_mean((tf.cast(images, tf.float32) - 110.0) * ramp, axis=[1, 2])
            return {"logits": mean @ self.kernel}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def from_jpeg(self, image_bytes):
            images = tf.map_fn(
                lambda one: decode_image(one, height, width, resize, False),
                image_bytes,
                fn_output_signature=tf.TensorSpec([height, width, 3], tf.uint8),
            )
            return self.from_images(images)

    net = Net()
    tf.saved_model.save(
        net,
        str(path / "saved_model"),
        {"serving_default": net.from_jpeg, "images": net.from_images},
    )
    identity = json.loads((dataset / "manifest.json").read_text())["fingerprint"]
    record = run_record(
        class_names=class_names,
        task=Task(task),
        architecture=f"color_{height}",
        image_size_px=(height, width),
        resize=resize,
        exact_decode=False,
        train_split=train_split,
        eval_split=eval_split,
        dataset=DatasetOfRun("leaves", "1.0.0", identity, str(dataset)),
        config={"augment": augment or {"flips": "horizontal", "quarter_turns": False}},
        member_fingerprint=fingerprint_saved_model(str(path / "saved_model")),
    )
    if eval_logits and eval_split:
        _write_eval_logits(path, dataset, eval_split, net, size, resize)
    storage.write_json(str(path / "run.json"), {**record.to_json(), **overrides})
    return path


def _write_eval_logits(path, dataset, eval_split, net, size, resize) -> None:
    from orchard.formats.logits import save_logits
    from trainer.data.decode import decode_image
    from trainer.data.load import load_records

    records = load_records(str(dataset), eval_split)
    images = np.stack(
        [
            decode_image(read_jpeg(records, row), *size, resize, False).numpy()
            for row in range(len(records))
        ]
    )
    logits = net.from_images(images)["logits"].numpy()
    target = path / "eval_logits" / f"{eval_split}.npz"
    save_logits(str(target), records.ids, logits, records.targets, records.class_names)


def make_members_of_tasks(root: Path, splits: dict[str, int], members: Sequence[dict]) -> Path:
    """In a folder a task, a dataset and members m0, m1, ... that differ in size, and as is said."""
    for task in ("single_label", "multi_label"):
        dataset = root / task / "leaves" / "1.0.0"
        make_dataset(dataset, splits, task=task)
        for at, more in enumerate(members):
            path = root / task / f"m{at}"
            make_member(path, dataset, size=(16 + 2 * at,) * 2, seed=at, task=task, **more)
    return root


def config_of_task(root: Path, output: Path, **overrides) -> EnsembleConfig:
    """An ensemble of three of `make_members_of_tasks`; `root` is the folder of a task."""
    values = {
        "members": tuple(str(root / f"m{at}") for at in range(3)),
        "dataset": str(root / "leaves" / "1.0.0"),
        "split": "test",
        "output_dir": str(output),
    }
    return EnsembleConfig(**{**values, **overrides})


def make_ensemble(root: Path) -> Result:
    """An ensemble of two members of different input sizes, in `root / "out"`, and its result."""
    dataset = root / "leaves" / "1.0.0"
    make_dataset(dataset, {"fold0": 12, "fold1": 8, "test": 9})
    make_member(root / "a", dataset, seed=1)
    make_member(root / "b", dataset, seed=2, size=(20, 24))
    config = EnsembleConfig(
        members=(str(root / "a"), str(root / "b")),
        dataset=str(dataset),
        split="test",
        output_dir=str(root / "out"),
    )
    return run(config)


def read_jpeg(records, row: int) -> bytes:
    file = Path(records.files[records.file_index[row]])
    start = int(records.offsets[row]) + 12
    payload = file.read_bytes()[start : start + int(records.lengths[row])]
    return tfrecord.Example(payload).bytes_of("image")


def make_world(root: Path) -> tuple[Path, Path, Path]:
    """A dataset with unlabeled test images, three networks of one fold, and the true labels."""
    dataset = root / "leaves" / "1.0.0"
    truth = make_dataset(dataset, {"fold0": 40, "fold1": 8, "test": 37})
    make_member(root / "a", dataset, seed=1, size=(16, 16), cost=cost(10.0, 2_000_000_000))
    make_member(
        root / "b", dataset, seed=2, size=(24, 12), noise=1.0, cost=cost(30.0, 6_000_000_000)
    )
    make_member(root / "c", dataset, seed=3, size=(16, 16), noise=2.0)
    labels = root / "labels.csv"
    names = [CLASS_NAMES[at] for at in truth["test"].argmax(axis=1)]
    pd.DataFrame({"image_id": [f"test_{i:04d}" for i in range(37)], "label": names}).to_csv(
        labels, index=False
    )
    return root, dataset, labels


def cost(cpu_seconds: float, flops: int) -> dict:
    """What a training took, as its record has it."""
    time = ComputeTime(cpu_seconds / 2, cpu_seconds, 0.0, "cpu", 1)
    return dataclasses.asdict(TrainingCost(time, 1000, flops, 50))


def world_config(world, output, members="abc", **overrides):
    root, dataset, _ = world
    values = {
        "members": tuple(str(root / name) for name in members),
        "dataset": str(dataset),
        "split": "test",
        "output_dir": str(output),
        "batch_size": 16,
        "export": False,
    }
    return EnsembleConfig(**{**values, **overrides})
