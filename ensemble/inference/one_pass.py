"""One pass over a split for all members: every record read once, every member fed at its own size.

All members are loaded at once and each batch goes through all of them, because weights are small
beside decoded images: the record is read once and decoded and resized once for each distinct input
size among the members, by the trainer's own function (it may use the JPEG's own down-scaling, which
depends on the size), so that a member's logits here are those of its evaluation. Reading and
decoding of the next batches overlap with the networks.

Finished logits are kept by `cache`; only members and rows that are missing are computed.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from ensemble.inference import tta as views
from ensemble.inference.cache import LogitsCache
from ensemble.members import InputSpec, Member, check_contents
from orchard import storage
from orchard.errors import OrchardError
from trainer.data import InputOptions, RecordTable, damage_named, decode_image

_SAVE_EVERY_SECONDS = 20.0
_PADDING_ROW = -1
_PARALLEL_SHARDS = 4
_PREFETCHED_BATCHES = 4


def predict_members(
    members: Sequence[Member],
    records: RecordTable,
    cache_dir: str,
    *,
    batch_size: int,
    tta: str = "none",
    strategy: tf.distribute.Strategy | None = None,
) -> np.ndarray:
    """Logits of every member for every record: float32 [members, records, classes].

    Args:
        members: any input sizes and architectures, same classes.
        records: the split, in order; row i of the result belongs to `records.ids[i]`.
        cache_dir: directory of the logits cache.
        batch_size: images a step, over all replicas.
        tta: "none", "flips" or "d4".
        strategy: where the members run; the default strategy when None.

    Raises:
        OrchardError: a damaged member or shard, or logits that are not finite.
    """
    views.check(members, tta)
    caches = [LogitsCache(cache_dir, member, records, tta) for member in members]
    pending = [index for index, cache in enumerate(caches) if not cache.done.all()]
    if pending:
        missing = ~np.logical_and.reduce([caches[index].done for index in pending])
        strategy = strategy or tf.distribute.get_strategy()
        _compute(
            [members[index] for index in pending],
            [caches[index] for index in pending],
            records,
            missing,
            batch_size,
            tta,
            strategy,
        )
    for cache in caches:
        cache.finish()
    return np.stack([cache.logits for cache in caches])


class LoadedMember:
    """A member in memory: a function from images to logits.

    Args:
        member: what to load; under the scope of the strategy that will run it.

    Attributes:
        saved_model: the object that holds its variables.

    Raises:
        OrchardError: its files are not those that its run exported, or cannot be loaded.
    """

    def __init__(self, member: Member):
        # One copy of what lies on gs://, to compare and to load.
        with storage.local_copy(member.saved_model_dir) as folder:
            check_contents(member, folder)
            self.saved_model = load_saved_model(folder, f"member {member.path}")
        signatures = self.saved_model.signatures
        if "images" not in signatures:
            raise OrchardError(
                f"member {member.path}: its saved_model has the signatures {sorted(signatures)} "
                "but not `images`; export it again with this version of the trainer"
            )
        self._images = signatures["images"]

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Images uint8 [batch, height, width, 3] -> logits float32 [batch, classes]."""
        return self._images(images=images)["logits"]


def load_saved_model(path: str, owner: str) -> tf.Module:
    """`tf.saved_model.load` with one line instead of a traceback for a damaged or absent model.

    From gs:// by way of a local copy: a byte that changed on its way there would go unnoticed.
    """
    try:
        with storage.local_copy(path) as folder:
            return tf.saved_model.load(folder)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OrchardError(
            f"{owner}: its SavedModel cannot be loaded ({reason}); it is damaged or incomplete: "
            "export it again"
        ) from error


def image_batches(
    records: RecordTable, wanted: np.ndarray, specs: Sequence[InputSpec], batch_size: int
) -> tf.data.Dataset:
    """The wanted records, read once and decoded for every input spec.

    Args:
        records: the split.
        wanted: bool [records].
        specs: distinct input specs.
        batch_size: rows of every batch; the last one is filled up with row -1 and black images.

    Returns:
        Dataset of (rows int64 [batch], tuple of uint8 [batch, height, width, 3], one a spec).
    """
    files, first_rows = _shards(records, wanted)
    wanted = tf.constant(wanted)
    shards = tf.data.Dataset.from_tensor_slices((files, first_rows))
    rows = shards.interleave(
        lambda file, first: tf.data.TFRecordDataset(file).enumerate(first),
        cycle_length=_PARALLEL_SHARDS,
        num_parallel_calls=tf.data.AUTOTUNE,
    ).filter(lambda row, _: wanted[row])

    def decode(row: tf.Tensor, record: tf.Tensor):
        feature = {records.image_key: tf.io.FixedLenFeature([], tf.string)}
        jpeg = tf.io.parse_single_example(record, feature)[records.image_key]
        return row, tuple(
            decode_image(jpeg, s.height_px, s.width_px, s.resize, s.exact_decode) for s in specs
        )

    batches = rows.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
    return batches.map(lambda *batch: _filled(batch, batch_size)).prefetch(_PREFETCHED_BATCHES)


def _shards(records: RecordTable, wanted: np.ndarray) -> tuple[list[str], np.ndarray]:
    # Rows are in shard and offset order, so a shard's rows are consecutive from its first one.
    used, first_rows = np.unique(records.file_index, return_index=True)
    needed = [wanted[records.file_index == index].any() for index in used]
    files = [records.files[index] for index in used[needed]]
    return files, first_rows[needed].astype(np.int64)


def _filled(batch: tuple, batch_size: int) -> tuple:
    rows, images = batch
    lacking = batch_size - tf.shape(rows)[0]
    rows = tf.pad(rows, [[0, lacking]], constant_values=_PADDING_ROW)
    images = tuple(tf.pad(one, [[0, lacking], [0, 0], [0, 0], [0, 0]]) for one in images)
    rows.set_shape([batch_size])
    for one in images:
        one.set_shape([batch_size, *one.shape[1:]])
    return rows, images


def _compute(members, caches, records, missing, batch_size, tta, strategy) -> None:
    specs = sorted({member.input for member in members}, key=lambda spec: spec.height_px)
    replicas = strategy.num_replicas_in_sync
    batches = image_batches(records, missing, specs, -(-batch_size // replicas) * replicas)
    options = InputOptions(**dataclasses.asdict(specs[0]))
    label = f"{len(members)} member{'s' if len(members) > 1 else ''}"
    with tqdm(total=int(missing.sum()), unit="img", desc=label, smoothing=0.1) as bar:
        unsaved: list[tuple[np.ndarray, np.ndarray]] = []
        saved_at = time.monotonic()
        try:
            with damage_named(records, options, "prepare the dataset again"):
                for rows, logits in run_members(members, specs, batches, tta, strategy):
                    if bar.n == 0:
                        bar.unpause()  # Loading and tracing would spoil the rate and the ETA.
                    unsaved.append((rows, logits))
                    bar.update(len(rows))
                    if time.monotonic() - saved_at > _SAVE_EVERY_SECONDS:
                        _save(caches, unsaved)
                        saved_at = time.monotonic()
        finally:
            _save(caches, unsaved)


def _save(caches: Sequence[LogitsCache], unsaved: list[tuple[np.ndarray, np.ndarray]]) -> None:
    if not unsaved:
        return
    rows = np.concatenate([rows for rows, _ in unsaved])
    logits = np.concatenate([logits for _, logits in unsaved], axis=1)
    unsaved.clear()
    for cache, member_logits in zip(caches, logits, strict=True):
        cache.add(rows, member_logits)


def run_members(
    members: Sequence[Member],
    specs: Sequence[InputSpec],
    batches: tf.data.Dataset,
    tta: str,
    strategy: tf.distribute.Strategy,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (rows int64 [n], logits float32 [members, n, classes]) without padding."""
    with strategy.scope():
        networks = [LoadedMember(member) for member in members]
    inputs = [specs.index(member.input) for member in members]

    @tf.function
    def step(images: tuple[tf.Tensor, ...]) -> tf.Tensor:
        def every_member(images):
            return tf.stack(
                [
                    views.mean_logits(network, images[position], tta)
                    for network, position in zip(networks, inputs, strict=True)
                ]
            )

        return strategy.run(every_member, args=(images,))

    waiting = None
    for rows, images in strategy.experimental_distribute_dataset(batches):
        computed = rows, step(images)
        # Fetching one batch behind leaves the device a batch to work on meanwhile.
        if waiting is not None:
            yield _fetched(*waiting, strategy)
        waiting = computed
    if waiting is not None:
        yield _fetched(*waiting, strategy)


def _fetched(rows, logits, strategy) -> tuple[np.ndarray, np.ndarray]:
    rows = np.concatenate([part.numpy() for part in strategy.experimental_local_results(rows)])
    logits = np.concatenate(
        [part.numpy() for part in strategy.experimental_local_results(logits)], axis=1
    )
    real = rows != _PADDING_ROW
    return rows[real], logits[:, real]
