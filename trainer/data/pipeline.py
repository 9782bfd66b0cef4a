"""Records to batches: uint8 images, targets and weights, in an order that is a pure function.

The host reads, decodes and resizes; all else runs on the accelerator inside the step, so that a
batch crosses as uint8, a quarter of float32. The training stream is a function of (seed, step): a
run is resumed by asking for its next step.

    steps -> rows (gids, epochs, serialized examples): one Python call a step, or block reads
          -> encoded images, targets, weights, augmentation parameters
          -> single images, or several of small and of prepared ones at once, decoded by as many
             threads as there are cores
          -> batches
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from orchard.autograph import as_written
from trainer.augment import AugmentOptions, draw_crops, draw_parameters
from trainer.data import bad_records, block_reader, decode_stage, order, readers, shard_cache
from trainer.data.options import InputOptions, order_options, reads_blocks
from trainer.data.records import RecordTable, check_labelled

__all__ = [
    "InputOptions",
    "ViewDraw",
    "damage_named",
    "encoded_batches",
    "eval_batches",
    "order_options",
    "train_batches",
    "view_batches",
]

Batch = dict[str, tf.Tensor]


@as_written
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
        records: what to train on, labeled.
        options: reading and decoding.
        batch_size: the global batch.
        seed: of order and augmentation.
        start_step: the first step; nothing else is needed to resume.
        num_steps: how many batches.
        augment: what to draw parameters for; None: no "augment" in the batches, no random crops.
        num_hosts: hosts that share each batch.
        host: this host's number, from 0.

    Returns:
        Batches {"image": uint8 [b, height, width, 3], "target": float32 [b, num_classes],
        "weight": float32 [b] (0: a skipped record), "index": int64 [b] (the gid),
        "augment": float32 [b, k]}, b = batch_size / num_hosts.

    Raises:
        OrchardError: unlabeled records, or a batch that the hosts can't share.
    """
    check_labelled(records)
    records = _near(records, options)
    share = {"batch_size": batch_size, "num_hosts": num_hosts, "host": host}
    ordering = order_options(records, options, batch_size)
    if reads_blocks(records, options):
        rows = block_reader.train_rows(
            records,
            ordering,
            seed=seed,
            start_step=start_step,
            num_steps=num_steps,
            tolerant=options.tolerant,
            **share,
        )
    else:
        stream = order.TrainOrder(records.runs, ordering, seed=seed, **share)
        steps = tf.data.Dataset.range(start_step, start_step + num_steps)
        rows = _local_rows(steps, stream.step, batch_size // num_hosts, records, options)
    return _batches(rows, batch_size // num_hosts, records, options, seed, augment, padded=False)


@as_written
def eval_batches(
    records: RecordTable,
    options: InputOptions,
    *,
    batch_size: int,
    num_hosts: int = 1,
    host: int = 0,
) -> tf.data.Dataset:
    """One host's part of an evaluation: each record once, in the table's order.

    The last batch is padded with rows of weight 0 and index -1.

    Args:
        records: what to evaluate.
        options: reading and decoding.
        batch_size: the global batch.
        num_hosts: hosts that share each batch.
        host: this host's number, from 0.

    Returns:
        Batches {"image": uint8 [b, height, width, 3], "target": float32 [b, num_classes],
        "weight": float32 [b], "index": int64 [b] (the gid)}, b = batch_size / num_hosts.
    """
    records = _near(records, options)
    share = {"batch_size": batch_size, "num_hosts": num_hosts, "host": host}
    rows = _eval_rows(records, options, **share)
    return _batches(rows, batch_size // num_hosts, records, options, 0, augment=None, padded=True)


@dataclass(frozen=True)
class ViewDraw:
    """Augmentation of each record as an epoch of a training draws it.

    Attributes:
        seed: of the training.
        epoch: of the training.
        gids: int [n], the records' rows in the table that is trained on.
        augment: what to draw parameters for.
    """

    seed: int
    epoch: int
    gids: np.ndarray
    augment: AugmentOptions


@as_written
def view_batches(
    records: RecordTable,
    options: InputOptions,
    draw: ViewDraw,
    *,
    batch_size: int,
    num_hosts: int = 1,
    host: int = 0,
) -> tf.data.Dataset:
    """`eval_batches`, augmented: each record once, in the table's order.

    Args:
        records: what to read.
        options: reading and decoding.
        draw: the augmentation.
        batch_size: the global batch.
        num_hosts: hosts that share each batch.
        host: this host's number, from 0.

    Returns:
        The batches of `eval_batches`, with "augment" as `train_batches` has it.
    """
    records = _near(records, options)
    rows = _eval_rows(records, options, batch_size=batch_size, num_hosts=num_hosts, host=host)
    gids = tf.constant(draw.gids, tf.int64)

    def key(row: Batch) -> Batch:
        drawn_by = tf.gather(gids, tf.maximum(row["index"], 0))
        return row | {"drawn_by": drawn_by, "epoch": tf.fill(drawn_by.shape, np.int64(draw.epoch))}

    per_host, seed = batch_size // num_hosts, draw.seed
    return _batches(rows.map(key), per_host, records, options, seed, draw.augment, padded=True)


@as_written
def encoded_batches(
    records: RecordTable,
    options: InputOptions,
    *,
    batch_size: int,
    num_hosts: int = 1,
    host: int = 0,
) -> tf.data.Dataset:
    """`eval_batches` before its images are decoded: for whoever decodes them to several sizes.

    Args:
        records: what to read.
        options: reading; size and decoding do not matter.
        batch_size: rows of each batch, over all hosts.
        num_hosts: hosts that share each batch.
        host: this host's number, from 0.

    Returns:
        The batches of `eval_batches` with "image" as encoded bytes, string [b]; that of a padding
        row is a black pixel.
    """
    records = _near(records, options)
    share = {"batch_size": batch_size, "num_hosts": num_hosts, "host": host}
    rows = _eval_rows(records, options, **share)
    settings = _settings(_threads(options))
    return _encoded(rows, records, 0, augment=None, padded=True).with_options(settings)


def _eval_rows(
    records: RecordTable, options: InputOptions, *, batch_size: int, num_hosts: int, host: int
) -> tf.data.Dataset:
    order.check_hosts(batch_size, num_hosts)
    per_host = batch_size // num_hosts
    if reads_blocks(records, options):
        return block_reader.eval_rows(
            records,
            batch_size=batch_size,
            num_hosts=num_hosts,
            host=host,
            tolerant=options.tolerant,
        )

    def step_rows(step: int) -> tuple[np.ndarray, np.ndarray]:
        index = step * batch_size + host * per_host + np.arange(per_host)
        return np.where(index < len(records), index, -1), np.zeros(per_host, np.int64)

    steps = tf.data.Dataset.range(-(-len(records) // batch_size))
    return _local_rows(steps, step_rows, per_host, records, options)


@contextlib.contextmanager
def damage_named(
    records: RecordTable, options: InputOptions, advice: str = bad_records.ADVICE
) -> Iterator[None]:
    """Wraps what consumes batches: an error about a damaged record then names file, record and id.

    After such an error alone, all records are read and decoded once to find the damaged ones.
    """

    def find() -> list[int]:
        tolerant = dataclasses.replace(options, on_bad_record="skip")
        batches = eval_batches(records, tolerant, batch_size=min(64, len(records)))
        damaged = []
        for batch in batches.as_numpy_iterator():
            damaged += batch["index"][(batch["weight"] == 0) & (batch["index"] >= 0)].tolist()
        return damaged

    with bad_records.named(find, records, advice):
        yield


def _near(records: RecordTable, options: InputOptions) -> RecordTable:
    return (
        shard_cache.with_local_copies(records, options.cache_dir) if options.cache_dir else records
    )


@functools.lru_cache(maxsize=2)
def _source(files: tuple[str, ...], fingerprint: str, cache: str) -> readers.Source:
    """The source of the records, shared by all evaluations of a process.

    TensorFlow keeps whatever a `numpy_function` refers to until the process ends.
    """
    del fingerprint  # In the key: a dataset may be prepared again at the same path.
    contents = shard_cache.in_memory(files) if cache == "ram" else None
    return readers.open_source(files, contents)


def _local_rows(
    steps: tf.data.Dataset,
    step_rows: Callable[[int], tuple[np.ndarray, np.ndarray]],
    per_host: int,
    records: RecordTable,
    options: InputOptions,
) -> tf.data.Dataset:
    """Reads single records, one Python call a step: one a record would cost more than reading.

    Args:
        steps: int64 scalars.
        step_rows: step -> (gids, epochs); gid -1 is padding.
        per_host: rows of a step.
        records: the table.
        options: of the pipeline.
    """
    source = _source(records.files, records.fingerprint, options.cache)

    def fetch(step: np.int64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        gids, epochs = step_rows(int(step))
        examples = np.full(len(gids), readers.DAMAGED, object)
        real = gids >= 0
        examples[real] = readers.read_records(source, records, gids[real])
        return examples, gids, epochs

    def read(step: tf.Tensor) -> Batch:
        types = [tf.string, tf.int64, tf.int64]
        rows = tf.numpy_function(fetch, [step], types, stateful=False)
        names = ("example", "index", "epoch")
        return {
            name: tf.ensure_shape(value, [per_host])
            for name, value in zip(names, rows, strict=True)
        }

    # Two calls at a time: one reads while the other holds Python's lock.
    return steps.map(read, num_parallel_calls=2, deterministic=True)


def _batches(
    rows: tf.data.Dataset,
    per_host: int,
    records: RecordTable,
    options: InputOptions,
    seed: int,
    augment: AugmentOptions | None,
    padded: bool,
) -> tf.data.Dataset:
    """Parses, decodes and batches rows, in their order; `padded`: some may be padding."""
    skip_log = bad_records.SkipLog(records)

    def finish(batch: Batch) -> Batch:
        if not options.tolerant:
            return batch
        intact = batch.pop("intact")
        noted = skip_log.watch(batch["index"], intact, not reads_blocks(records, options))
        with tf.control_dependencies([noted]):
            return batch | {"weight": batch["weight"] * tf.cast(intact, tf.float32)}

    crops = augment if augment is not None and augment.crops else None
    batches = _encoded(rows, records, seed, augment, padded)
    threads = _threads(options)
    prepared = records.square_px == options.height_px == options.width_px
    batches = decode_stage.decode_batches(batches, per_host, options, crops, threads, prepared)
    return batches.map(finish).with_options(_settings(threads)).prefetch(2)


def _encoded(
    rows: tf.data.Dataset,
    records: RecordTable,
    seed: int,
    augment: AugmentOptions | None,
    padded: bool,
) -> tf.data.Dataset:
    """Parses rows: all of a batch but the pixels."""
    look_up = _target_table(records.targets)
    # What stands in for the image of a padding row.
    nothing = tf.io.encode_jpeg(tf.zeros([1, 1, 3], tf.uint8))

    def complete(row: Batch) -> Batch:
        features = {records.image_key: tf.io.FixedLenFeature([], tf.string, default_value="")}
        index = row["index"]
        encoded = tf.io.parse_example(row["example"], features)[records.image_key]
        batch = {
            # Choosing copies all encoded images.
            "image": tf.where(index >= 0, encoded, nothing) if padded else encoded,
            "index": index,
            "target": look_up(tf.maximum(index, 0)),
            "weight": tf.cast(index >= 0, tf.float32),
        }
        if augment is not None:
            key = row.get("drawn_by", index)
            batch["augment"] = draw_parameters(seed, row["epoch"], key, augment)
            if augment.crops:
                batch["crop"] = draw_crops(seed, row["epoch"], key)
        return batch

    return rows.map(complete).prefetch(1)


def _threads(options: InputOptions) -> int:
    return options.threads or len(os.sched_getaffinity(0))


def _target_table(targets: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """From gids to float32 targets; a large one-hot table is kept as one number a record."""
    classes = targets.argmax(axis=1)
    ones = (targets[np.arange(len(targets)), classes] == 1).all()
    if ones and np.count_nonzero(targets) == len(targets):
        table = tf.constant(classes)
        return lambda gids: tf.one_hot(tf.gather(table, gids), targets.shape[1])
    table = tf.constant(targets)
    return lambda gids: tf.gather(table, gids)


def _settings(threads: int) -> tf.data.Options:
    settings = tf.data.Options()
    # All parallelism is set from the cores; a tuner would spend its time finding the same.
    settings.autotune.enabled = False
    settings.threading.private_threadpool_size = threads
    # Images are decoded side by side; an op that spreads one image over cores only moves it between
    # their caches.
    settings.threading.max_intra_op_parallelism = 1
    settings.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return settings
