"""The training order read in blocks, in TensorFlow ops alone: for object stores and TPU pods.

A pod's remote hosts run tf.data but no Python, and an object store serves one request a record
slowly. So the order of `order` is computed here again, in TensorFlow, and each window of a
lane is read as a few contiguous ranges. The batches are those of `order.TrainOrder`, bit for bit.

Held in memory: two windows a lane, that is 2 x lanes x window_records encoded images.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer import prng
from trainer.data import order
from trainer.data.order import OrderOptions
from trainer.data.readers import DAMAGED
from trainer.data.records import RecordTable

Rows = dict[str, tf.Tensor]
# Enough to read a block of the default order in one request.
_READ_BUFFER_BYTES = 1 << 20
# Requests that a window has under way at a time.
_PARALLEL_SEGMENTS = 4


class Segments(NamedTuple):
    """Runs of records to read, each from one file: int64 [segments], gids and counts."""

    starts: tf.Tensor
    counts: tf.Tensor


class BlockReader:
    """Reads runs of records by position.

    Args:
        records: the table.
        tolerant: give `DAMAGED` for a record that fails its checksum, not an error.
    """

    def __init__(self, records: RecordTable, tolerant: bool):
        self._files = tf.constant(records.files)
        self._file_index = tf.constant(records.file_index)
        self._offsets = tf.constant(records.offsets)
        self._tolerant = tolerant

    def read(self, segments: Segments, longest: int) -> tf.Tensor:
        """Returns the segments' serialized tf.train.Examples, string [sum of counts], in order.

        Args:
            segments: what to read.
            longest: no segment has more records.
        """
        if not self._tolerant:
            return self._gather(segments, longest, ignore_errors=False)
        count = tf.reduce_sum(segments.counts)
        read = self._gather(segments, longest, ignore_errors=True)
        # An error ends its segment; what is missing is then read again, record by record.
        return tf.cond(
            tf.size(read, tf.int64) == count, lambda: read, lambda: self._one_by_one(segments)
        )

    def _gather(self, segments: Segments, longest: int, ignore_errors: bool) -> tf.Tensor:
        def open_segment(start: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
            examples = self._open(start).take(count)
            return examples.ignore_errors() if ignore_errors else examples

        count = tf.reduce_sum(segments.counts)
        examples = tf.data.Dataset.from_tensor_slices(tuple(segments)).interleave(
            open_segment,
            cycle_length=_PARALLEL_SEGMENTS,
            block_length=longest,
            num_parallel_calls=_PARALLEL_SEGMENTS,
            deterministic=True,
        )
        # A window of which nothing can be read is an empty dataset, which has no single element.
        nothing = tf.data.Dataset.from_tensors(tf.constant([], tf.string))
        return examples.batch(count).concatenate(nothing).take(1).get_single_element()

    def _one_by_one(self, segments: Segments) -> tf.Tensor:
        def read_one(gid: tf.Tensor) -> tf.data.Dataset:
            example = self._open(gid).take(1).ignore_errors()
            instead = tf.data.Dataset.from_tensors(tf.constant(DAMAGED))
            return example.concatenate(instead).take(1)

        gids = _gids(segments)
        examples = tf.data.Dataset.from_tensor_slices(gids).flat_map(read_one)
        return examples.batch(tf.size(gids, tf.int64)).get_single_element()

    def _open(self, gid: tf.Tensor) -> tf.data.Dataset:
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=tf.gather(self._files, tf.gather(self._file_index, gid)[None]),
            compression_type="",
            buffer_size=_READ_BUFFER_BYTES,
            byte_offsets=tf.gather(self._offsets, gid)[None],
        )
        return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))


def train_rows(
    records: RecordTable,
    options: OrderOptions,
    *,
    batch_size: int,
    seed: int,
    start_step: int,
    num_steps: int,
    num_hosts: int,
    host: int,
    tolerant: bool,
) -> tf.data.Dataset:
    """Batches {"example": string, "index": int64, "epoch": int64}, each [batch_size / num_hosts].

    The arguments are those of `order.TrainOrder` and `input_pipeline.train_batches`.
    """
    order.check_hosts(batch_size, num_hosts)
    per_lane = order.records_per_lane(len(records), options, batch_size)
    bounds = order.lane_bounds(len(records), options.lanes)
    lanes = _Lanes(records, options, seed, BlockReader(records, tolerant))
    first_record = start_step * per_lane

    def lane_rows(lane: tf.Tensor, start: tf.Tensor, length: tf.Tensor) -> tf.data.Dataset:
        rows = lanes.rows(lane, start, length, first_record)
        return rows.batch(per_lane, drop_remainder=True)

    own = np.array(order.host_lanes(options, num_hosts, host))
    rows = tf.data.Dataset.from_tensor_slices((own, bounds[own], np.diff(bounds)[own])).interleave(
        lane_rows,
        cycle_length=len(own),
        block_length=1,
        num_parallel_calls=len(own),
        deterministic=True,
    )

    def flatten(batch: Rows) -> Rows:
        size = batch_size // num_hosts
        return {name: tf.reshape(value, [size]) for name, value in batch.items()}

    return rows.batch(len(own), drop_remainder=True).map(flatten).take(num_steps)


def eval_rows(
    records: RecordTable, *, batch_size: int, num_hosts: int, host: int, tolerant: bool
) -> tf.data.Dataset:
    """As `train_rows`, in the table's order; what pads the last batch has index -1."""
    reader = BlockReader(records, tolerant)
    per_host = batch_size // num_hosts
    edges = np.concatenate([np.flatnonzero(np.diff(records.runs)) + 1, [len(records)]])

    def read(step: tf.Tensor) -> Rows:
        low = tf.minimum(step * batch_size + host * per_host, len(records))
        high = tf.minimum(low + per_host, len(records))
        # A range that lies in several runs is cut at their edges.
        ends = tf.unique(tf.clip_by_value(edges, low, high))[0]
        starts = tf.concat([low[None], ends[:-1]], 0)
        some = ends > starts
        segments = Segments(starts[some], (ends - starts)[some])
        examples = tf.cond(
            high > low, lambda: reader.read(segments, per_host), lambda: tf.constant([], tf.string)
        )
        padding = [[0, per_host - tf.cast(high - low, tf.int32)]]
        index = tf.pad(tf.range(low, high), padding, constant_values=-1)
        return {
            "example": tf.ensure_shape(tf.pad(examples, padding, constant_values=""), [per_host]),
            "index": tf.ensure_shape(index, [per_host]),
            "epoch": tf.zeros([per_host], tf.int64),
        }

    steps = tf.data.Dataset.range(-(-len(records) // batch_size))
    return steps.map(read, num_parallel_calls=2, deterministic=True)


class _Lanes:
    """The streams of `order.epoch_order`'s lanes, computed and read in TensorFlow."""

    def __init__(self, records: RecordTable, options: OrderOptions, seed: int, reader: BlockReader):
        self._options, self._seed, self._reader = options, seed, reader
        blocks = order.cut_blocks(records.runs, options.block_records)
        self._starts, self._lengths = tf.constant(blocks.starts), tf.constant(blocks.lengths)

    def rows(
        self, lane: tf.Tensor, start: tf.Tensor, length: tf.Tensor, first_record: int
    ) -> tf.data.Dataset:
        """The endless stream of a lane's rows, from the lane's `first_record`-th on."""
        window_records = self._options.window_records
        offset = order.window_offset(lane, self._options)
        num_windows = (length - 1 + offset) // window_records + 1
        first_epoch, position = first_record // length, first_record % length
        first_window = (position + offset) // window_records
        skipped = position - tf.maximum(first_window * window_records - offset, 0)

        def borders(window: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            low = start + tf.maximum(window * window_records - offset, 0)
            return low, start + tf.minimum((window + 1) * window_records - offset, length)

        def windows(epoch: tf.Tensor) -> tf.data.Dataset:
            blocks = self._shuffled_blocks(epoch)
            begin = tf.where(epoch == first_epoch, first_window, 0)
            return tf.data.Dataset.range(begin, num_windows).map(
                lambda window: self._read_window(epoch, blocks, *borders(window))
            )

        epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
        return epochs.flat_map(windows).prefetch(1).unbatch().skip(skipped)

    def _shuffled_blocks(self, epoch: tf.Tensor) -> "_LaidOut":
        key = prng.tf_mix_key(self._seed, epoch, prng.BLOCK_SALT)
        numbers = tf.range(tf.size(self._starts, tf.int64))
        shuffled = _argsort(prng.tf_splitmix64(tf.cast(numbers, tf.uint64) ^ key))
        lengths = tf.gather(self._lengths, shuffled)
        return _LaidOut(tf.gather(self._starts, shuffled), lengths, tf.cumsum(lengths))

    def _read_window(
        self, epoch: tf.Tensor, blocks: "_LaidOut", low: tf.Tensor, high: tf.Tensor
    ) -> Rows:
        segments = _cut_segments(blocks, low, high)
        examples = self._reader.read(segments, self._options.block_records)
        gids = _gids(segments)
        if self._options.window_records > 1:
            key = prng.tf_mix_key(self._seed, epoch, prng.WINDOW_SALT)
            shuffled = _argsort(prng.tf_splitmix64(tf.cast(gids, tf.uint64) ^ key))
            examples, gids = tf.gather(examples, shuffled), tf.gather(gids, shuffled)
        return {"example": examples, "index": gids, "epoch": tf.fill(tf.shape(gids), epoch)}


class _LaidOut(NamedTuple):
    """An epoch's blocks end to end: int64 [blocks], their first gids, lengths, ends."""

    starts: tf.Tensor
    lengths: tf.Tensor
    ends: tf.Tensor


def _cut_segments(blocks: _LaidOut, low: tf.Tensor, high: tf.Tensor) -> Segments:
    """The parts of laid-out blocks between two positions of the layout."""
    first = tf.searchsorted(blocks.ends, low[None], side="right")[0]
    last = tf.searchsorted(blocks.ends, high[None] - 1, side="right")[0] + 1
    starts, lengths, ends = (column[first:last] for column in blocks)
    begins = ends - lengths
    skipped = tf.maximum(low - begins, 0)
    return Segments(starts + skipped, tf.minimum(high - begins, lengths) - skipped)


def _gids(segments: Segments) -> tf.Tensor:
    return tf.ragged.range(segments.starts, segments.starts + segments.counts).flat_values


def _argsort(hashes: tf.Tensor) -> tf.Tensor:
    """Stable argsort of uint64, which TensorFlow can't sort: flips the sign bit for int64."""
    signed = tf.bitcast(hashes ^ tf.constant(2**63, tf.uint64), tf.int64)
    return tf.argsort(signed, stable=True)
