"""Records to batches: uint8 images, targets and weights, in an order that is a pure function.

The host reads, decodes and resizes; all else runs on the accelerator inside the step, so that a
batch crosses as uint8, a quarter of float32. The training stream is a function of (seed, step): a
run is resumed by asking for its next step.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from data_prep.errors import OrchardError
from trainer import augment as augmentation
from trainer import decode, order, readers
from trainer.augment import AugmentOptions
from trainer.records import RecordTable

Batch = dict[str, tf.Tensor]


@dataclass(frozen=True)
class InputOptions:
    """How records become batches.

    Attributes:
        height_px: rows of every image.
        width_px: columns of every image.
        resize: "squash", "crop" or "pad" (see `trainer.decode.decode_image`).
        exact_decode: full-scale accurate decode and antialiased resize, as Pillow gives; slower.
        threads: decoding threads of this process; 0: one a core.
    """

    height_px: int
    width_px: int
    resize: str = "squash"
    exact_decode: bool = False
    threads: int = 0

    def __post_init__(self):
        for name in ("height_px", "width_px"):
            if getattr(self, name) < 1:
                raise OrchardError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.resize not in decode.RESIZES:
            raise OrchardError(
                f"resize is {self.resize!r}; choose one of {', '.join(decode.RESIZES)}"
            )


def train_batches(
    records: RecordTable,
    options: InputOptions,
    *,
    batch_size: int,
    seed: int,
    start_step: int,
    num_steps: int,
    augment: AugmentOptions | None,
    num_hosts: int = 1,
    host: int = 0,
) -> tf.data.Dataset:
    """One host's part of the training batches of steps start_step .. start_step + num_steps - 1.

    Hosts' parts, in the order of hosts, are the same global batch for any number of hosts.

    Args:
        records: what to train on, labelled.
        options: decoding and reading.
        batch_size: the global batch.
        seed: of order and augmentation.
        start_step: the first step; nothing else is needed to resume.
        num_steps: how many batches.
        augment: what to draw parameters for; None: no "augment" in the batches.
        num_hosts: hosts that share each batch.
        host: this host's number, from 0.

    Returns:
        Batches {"image": uint8 [b, height, width, 3], "target": float32 [b, num_classes],
        "weight": float32 [b], "index": int64 [b] (the gid), "augment": float32 [b, k]},
        b = batch_size / num_hosts.

    Raises:
        OrchardError: unlabelled records, or a batch that the hosts can't share.
    """
    _check_labelled(records)
    stream = order.TrainOrder(
        records.file_index,
        order.random_access_options(len(records), batch_size),
        batch_size=batch_size,
        seed=seed,
        num_hosts=num_hosts,
        host=host,
    )
    columns = len(augmentation.COLUMNS) if augment else 0

    def rows(step: int) -> dict[str, np.ndarray]:
        gids, epochs = stream.step(step)
        chosen = {
            "index": gids,
            "target": records.targets[gids],
            "weight": np.ones(len(gids), np.float32),
        }
        if augment:
            chosen["augment"] = augmentation.draw(seed, epochs, gids, augment)
        return chosen

    signature = _signature(records, batch_size // num_hosts, columns)
    steps = tf.data.Dataset.range(start_step, start_step + num_steps)
    batches = _read_and_decode(steps, rows, signature, records, options)
    return batches.prefetch(2)


def eval_batches(
    records: RecordTable,
    options: InputOptions,
    *,
    batch_size: int,
    num_hosts: int = 1,
    host: int = 0,
) -> tf.data.Dataset:
    """One host's part of an evaluation: each record once, in the table's order.

    The last batch is padded with copies of the first record of weight 0 and index -1.

    Args:
        records: what to evaluate.
        options: decoding and reading.
        batch_size: the global batch.
        num_hosts: hosts that share each batch.
        host: this host's number, from 0.

    Returns:
        Batches {"image": uint8 [b, height, width, 3], "target": float32 [b, num_classes],
        "weight": float32 [b], "index": int64 [b] (the gid)}, b = batch_size / num_hosts.
    """
    if batch_size % num_hosts:
        raise OrchardError(
            f"evaluation: {num_hosts} hosts can't share a global batch of {batch_size} evenly"
        )
    per_host = batch_size // num_hosts

    def rows(step: int) -> dict[str, np.ndarray]:
        index = step * batch_size + host * per_host + np.arange(per_host)
        real = index < len(records)
        gids = np.where(real, index, 0)
        return {
            "index": np.where(real, index, -1),
            "target": records.targets[gids],
            "weight": real.astype(np.float32),
        }

    signature = _signature(records, per_host, 0)
    steps = tf.data.Dataset.range(-(-len(records) // batch_size))
    batches = _read_and_decode(steps, rows, signature, records, options)
    return batches.prefetch(2)


def _check_labelled(records: RecordTable) -> None:
    unlabelled = np.flatnonzero((records.targets < 0).any(axis=1))
    if len(unlabelled):
        raise OrchardError(
            f"{len(unlabelled)} of {len(records)} records of {'+'.join(records.splits)} have no "
            f"label, first {str(records.ids[unlabelled[0]])!r}; train on labelled splits"
        )


def _signature(records: RecordTable, rows: int, columns: int) -> dict[str, tf.TensorSpec]:
    signature = {
        "index": tf.TensorSpec([rows], tf.int64),
        "target": tf.TensorSpec([rows, records.targets.shape[1]], tf.float32),
        "weight": tf.TensorSpec([rows], tf.float32),
    }
    if columns:
        signature["augment"] = tf.TensorSpec([rows, columns], tf.float32)
    return signature


def _read_and_decode(
    steps: tf.data.Dataset,
    rows: Callable[[int], dict[str, np.ndarray]],
    signature: dict[str, tf.TensorSpec],
    records: RecordTable,
    options: InputOptions,
) -> tf.data.Dataset:
    """Steps to batches: one Python call a step chooses and reads, threads decode."""
    source = readers.FileSource(records.files)
    names = sorted(signature)
    per_host = signature["index"].shape[0]

    def fetch(step: np.ndarray) -> list[np.ndarray]:
        chosen = rows(int(step))
        examples = readers.read_records(source, records, np.maximum(chosen["index"], 0))
        return [np.array(examples, object), *(chosen[name] for name in names)]

    def choose(step: tf.Tensor) -> Batch:
        types = [tf.string, *(signature[name].dtype for name in names)]
        examples, *values = tf.numpy_function(fetch, [step], types, stateful=False)
        batch = {"image": _encoded_images(tf.ensure_shape(examples, [per_host]), records.image_key)}
        for name, value in zip(names, values, strict=True):
            batch[name] = tf.ensure_shape(value, signature[name].shape)
        return batch

    def decode_one(row: Batch) -> Batch:
        image = decode.decode_image(
            row["image"],
            options.height_px,
            options.width_px,
            resize=options.resize,
            exact=options.exact_decode,
        )
        return row | {"image": image}

    threads = options.threads or len(os.sched_getaffinity(0))
    dataset = steps.map(choose, num_parallel_calls=2, deterministic=True).prefetch(1)
    dataset = dataset.unbatch().map(decode_one, num_parallel_calls=threads, deterministic=True)
    dataset = dataset.batch(per_host, drop_remainder=True)
    settings = tf.data.Options()
    settings.autotune.enabled = False
    settings.threading.private_threadpool_size = threads
    settings.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(settings)


def _encoded_images(examples: tf.Tensor, image_key: str) -> tf.Tensor:
    features = {image_key: tf.io.FixedLenFeature([], tf.string, default_value="")}
    return tf.io.parse_example(examples, features)[image_key]
