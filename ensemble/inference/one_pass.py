"""One pass over a split for all members: every record read once, every member fed at its own size.

All members are loaded at once and each batch goes through all of them, because weights are small
beside decoded images: the record is read once, decoded once for each scale that members need, and
resized once for each distinct input size, by the trainer's own functions (they use the JPEG's own
down-scaling, which depends on the size), so that a member's logits here are those of its
evaluation. Reading and decoding of the next batches overlap with the networks.

Finished logits are kept by `cache`; only members and rows that are missing are computed.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from ensemble.inference import tta as views
from ensemble.inference.cache import LogitsCache
from ensemble.inference.loading import LoadedMember
from ensemble.members import Member
from orchard import storage
from orchard.autograph import as_written
from orchard.formats import InputSpec
from orchard.progress import Progress
from trainer.data import InputOptions, RecordTable, damage_named, decode_sizes, encoded_batches
from trainer.runtime import Runtime, TensorFlowRuntime

_PREFETCHED_BATCHES = 4


def predict_members(
    members: Sequence[Member],
    records: RecordTable,
    cache_dir: str,
    *,
    batch_size: int,
    tta: str = "none",
    runtime: Runtime | None = None,
) -> np.ndarray:
    """Logits of every member for every record: float32 [members, records, classes].

    Args:
        members: any input sizes and architectures, same classes.
        records: the split, in order; row i of the result belongs to `records.ids[i]`.
        cache_dir: directory of the logits cache.
        batch_size: images a step, over all replicas.
        tta: a key of `NUM_VIEWS`.
        runtime: what the members run on; TensorFlow's default when None.

    Raises:
        OrchardError: a damaged member or shard, or logits that are not finite.
    """
    views.check(members, tta)
    caches = {member: LogitsCache(cache_dir, member, records, tta) for member in members}
    pending = {member: cache for member, cache in caches.items() if not cache.done.all()}
    if pending:
        _compute(pending, records, batch_size, tta, runtime or TensorFlowRuntime())
    for cache in caches.values():
        cache.finish()
    return np.stack([caches[member].logits for member in members])


def _compute(
    caches: dict[Member, LogitsCache],
    records: RecordTable,
    batch_size: int,
    tta: str,
    runtime: Runtime,
) -> None:
    """Fill the caches; records that all of them have are not read."""
    missing = np.flatnonzero(~np.logical_and.reduce([cache.done for cache in caches.values()]))
    members = list(caches)
    replicas = runtime.num_replicas
    label = f"{len(members)} member{'s' if len(members) > 1 else ''}"
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(
            Progress(total=len(missing), unit=" images", desc=label, smoothing=0.1)
        )
        for cache in caches.values():
            stack.enter_context(cache)
        wanted = stack.enter_context(_near(records.take(missing)))
        options = _reading(members[0].input)
        stack.enter_context(damage_named(wanted, options, "prepare the dataset again"))
        batch_size = -(-batch_size // replicas) * replicas
        for rows, logits in run_members(members, wanted, batch_size, tta, runtime):
            if bar.n == 0:
                bar.unpause()  # Loading and tracing would spoil the rate and the ETA.
            for cache, one in zip(caches.values(), logits, strict=True):
                cache.add_records(missing[rows], one)
            bar.update(len(rows))


@contextlib.contextmanager
def _near(records: RecordTable) -> Iterator[RecordTable]:
    """The records, in local copies of the shards where TensorFlow itself cannot read them."""
    with contextlib.ExitStack() as copies:

        def near(path: str) -> str:
            if storage.tensorflow_reads(path):
                return path
            return copies.enter_context(storage.local_copy(path))

        yield dataclasses.replace(records, files=tuple(map(near, records.files)))


def run_members(
    members: Sequence[Member], records: RecordTable, batch_size: int, tta: str, runtime: Runtime
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (rows int64 [n], logits float32 [members, n, classes]) without padding.

    Args:
        members: what to run.
        records: what to run them on.
        batch_size: images a step, over all replicas.
        tta: a key of `NUM_VIEWS`.
        runtime: what the members run on.
    """
    with runtime.scope():
        networks = [LoadedMember(member) for member in members]
    specs = list(dict.fromkeys(member.input for member in members))
    positions = [specs.index(member.input) for member in members]

    def every_member(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        logits = [
            views.mean_logits(network, batch[_images(position)], tta)
            for network, position in zip(networks, positions, strict=True)
        ]
        return batch["row"], tf.stack(logits)

    def batches(num_hosts: int, host: int) -> tf.data.Dataset:
        return image_batches(records, specs, batch_size, num_hosts, host)

    outputs = runtime.over_batches(every_member, axes=(0, 1))
    for rows, logits in outputs(runtime.distribute(batches)):
        real = rows >= 0
        yield rows[real], logits[:, real]


@contextlib.contextmanager
def images_of(
    records: RecordTable, spec: InputSpec, batch_size: int
) -> Iterator[Iterator[tuple[tf.Tensor, tf.Tensor]]]:
    """Gives batches (rows int64 [b], images uint8 [b, height, width, 3]) of one input spec.

    Damage is named while they are read.

    Args:
        records: what to read, in order.
        spec: what the images are brought to.
        batch_size: rows of every batch; the last one is filled up with row -1.
    """
    with _near(records) as near, damage_named(near, _reading(spec), "prepare the dataset again"):
        batches = image_batches(near, [spec], batch_size)
        yield ((batch["row"], batch[_images(0)]) for batch in batches)


@as_written
def image_batches(
    records: RecordTable,
    specs: Sequence[InputSpec],
    batch_size: int,
    num_hosts: int = 1,
    host: int = 0,
) -> tf.data.Dataset:
    """Records in order, read once and decoded for every input spec.

    Args:
        records: what to read.
        specs: distinct input specs.
        batch_size: rows of every batch; the last one is filled up with row -1.
        num_hosts: hosts that share each batch.
        host: this host's number, from 0.

    Returns:
        Dataset of {"row": int64 [b], "images0": uint8 [b, height, width, 3], ... one a spec}, b =
        batch_size / num_hosts.
    """

    def decode(record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images = decode_sizes(record["image"], specs)
        return {"row": record["index"]} | {_images(k): one for k, one in enumerate(images)}

    encoded = encoded_batches(
        records, _reading(specs[0]), batch_size=batch_size, num_hosts=num_hosts, host=host
    )
    threads = len(os.sched_getaffinity(0))
    images = encoded.unbatch().map(decode, num_parallel_calls=threads, deterministic=True)
    per_host = batch_size // num_hosts
    return images.batch(per_host, drop_remainder=True).prefetch(_PREFETCHED_BATCHES)


def _images(position: int) -> str:
    return f"images{position}"


def _reading(spec: InputSpec) -> InputOptions:
    """The trainer's options to read records, with the size and decoding of one spec."""
    return InputOptions(
        height_px=spec.height_px,
        width_px=spec.width_px,
        resize=spec.resize,
        exact_decode=spec.exact_decode,
    )
