import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.datasets import numbered_dataset
from trainer.data import block_reader
from trainer.data.block_reader import BlockReader, Segments
from trainer.data.load import load_records
from trainer.data.order import OrderOptions, TrainOrder
from trainer.data.readers import DAMAGED


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """50 records in shards of 7."""
    return load_records(numbered_dataset(tmp_path_factory.mktemp("data"), 50), "train")


def _payload(records, gid):
    """A record's bytes, by its place in its file."""
    with open(records.files[records.file_index[gid]], "rb") as file:
        file.seek(records.offsets[gid])
        length = int.from_bytes(file.read(8), "little")
        file.seek(4, 1)
        return file.read(length)


def _segments(starts, counts):
    return Segments(tf.constant(starts, tf.int64), tf.constant(counts, tf.int64))


def test_read_segments_of_several_files_gives_their_records_in_order(records):
    read = BlockReader(records, tolerant=False).read(_segments([30, 2, 47], [3, 5, 2]), longest=5)
    gids = [30, 31, 32, 2, 3, 4, 5, 6, 47, 48]
    assert list(read.numpy()) == [_payload(records, gid) for gid in gids]


def test_read_damaged_record_is_marked_and_the_rest_of_its_segment_is_read(tmp_path):
    records = load_records(numbered_dataset(tmp_path, 14), "train")
    with open(records.files[0], "r+b") as file:
        file.seek(records.offsets[3] + 12 + 30)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 255]))
    segments = _segments([7, 1], [2, 5])
    with pytest.raises(tf.errors.DataLossError):
        BlockReader(records, tolerant=False).read(segments, longest=5)
    read = BlockReader(records, tolerant=True).read(segments, longest=5).numpy()
    expected = [_payload(records, gid) for gid in (7, 8, 1, 2)] + [DAMAGED]
    expected += [_payload(records, gid) for gid in (4, 5)]
    assert list(read) == expected


def test_cut_segments_between_two_positions_of_laid_out_blocks_are_their_parts():
    starts, lengths = np.array([20, 0, 10]), np.array([5, 10, 4])
    laid_out = block_reader._LaidOut(
        *(tf.constant(column, tf.int64) for column in (starts, lengths, lengths.cumsum()))
    )
    gids = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)])
    for low in range(len(gids)):
        for high in range(low + 1, len(gids) + 1):
            segments = block_reader._cut_segments(
                laid_out, tf.constant(low, tf.int64), tf.constant(high, tf.int64)
            )
            np.testing.assert_array_equal(block_reader._gids(segments), gids[low:high])


@settings(max_examples=6, deadline=None)
@given(
    lanes=st.sampled_from([1, 2, 4]),
    window_records=st.integers(1, 9),
    block_records=st.integers(1, 8),
    start_step=st.integers(0, 30),
    seed=st.integers(0, 2**31),
)
def test_train_rows_are_those_of_the_train_order(
    records, lanes, window_records, block_records, start_step, seed
):
    options = OrderOptions(lanes=lanes, block_records=block_records, window_records=window_records)
    rows = block_reader.train_rows(
        records,
        options,
        batch_size=8,
        seed=seed,
        start_step=start_step,
        num_steps=3,
        num_hosts=1,
        host=0,
        tolerant=False,
    )
    expected = TrainOrder(records.file_index, options, batch_size=8, seed=seed)
    for step, batch in enumerate(rows.as_numpy_iterator(), start_step):
        gids, epochs = expected.step(step)
        np.testing.assert_array_equal(batch["index"], gids)
        np.testing.assert_array_equal(batch["epoch"], epochs)
        assert batch["example"][0] == _payload(records, gids[0])


def test_eval_rows_of_two_hosts_are_the_table_with_padding_at_the_end(records):
    hosts = [
        list(
            block_reader.eval_rows(
                records, batch_size=16, num_hosts=2, host=host, tolerant=False
            ).as_numpy_iterator()
        )
        for host in range(2)
    ]
    indices = np.concatenate(
        [batch["index"] for pair in zip(*hosts, strict=True) for batch in pair]
    )
    np.testing.assert_array_equal(indices[:50], np.arange(50))
    assert (indices[50:] == -1).all() and len(indices) == 64
