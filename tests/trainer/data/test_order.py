import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchard.errors import OrchardError
from trainer.data import order
from trainer.data.order import OrderOptions, TrainOrder


def files_of(count: int, per_file: int = 13) -> np.ndarray:
    return (np.arange(count) // per_file).astype(np.int32)


def test_cut_blocks_ends_blocks_where_files_end():
    blocks = order.cut_blocks(np.array([0, 0, 0, 0, 0, 2, 2, 3]), 2)
    assert blocks.starts.tolist() == [0, 2, 4, 5, 7]
    assert blocks.lengths.tolist() == [2, 2, 1, 2, 1]


@st.composite
def streams(draw):
    """(records, batch size, options, seed) of an order that is allowed."""
    lanes = draw(st.integers(1, 8))
    batch = lanes * draw(st.integers(1, 6))
    count = draw(st.integers(lanes, 120))
    options = OrderOptions(lanes, draw(st.integers(1, 9)), draw(st.integers(1, 40)))
    per_file = draw(st.integers(1, 50))
    return files_of(count, per_file), batch, options, draw(st.integers(0, 2**32 - 1))


def make_stream(case, **hosts) -> TrainOrder:
    files, batch, options, seed = case
    return TrainOrder(files, options, batch_size=batch, seed=seed, **hosts)


@settings(deadline=None)
@given(case=streams(), epoch=st.integers(0, 1000))
def test_epoch_order_of_any_options_is_a_permutation(case, epoch):
    files, _, options, seed = case
    blocks = order.cut_blocks(files, options.block_records)
    assert sorted(order.epoch_order(seed, epoch, blocks, options)) == list(range(len(files)))


@settings(deadline=None)
@given(case=streams())
def test_stream_gives_no_record_twice_in_an_epoch_and_leaves_none_out(case):
    files, batch, _, _ = case
    stream = make_stream(case)
    steps = [stream.step(step) for step in range(3 * len(files) // batch + 2)]
    seen = np.concatenate([gids for gids, _ in steps])
    epochs = np.concatenate([epochs for _, epochs in steps])
    for epoch in range(epochs.max() + 1):
        assert len(set(seen[epochs == epoch])) == np.sum(epochs == epoch) <= len(files)
    # Lanes differ by one record: the second epoch is over everywhere after three.
    for epoch in range(2):
        assert sorted(seen[epochs == epoch]) == list(range(len(files)))


@settings(deadline=None)
@given(case=streams(), data=st.data())
def test_stream_shared_by_any_number_of_hosts_is_the_same_global_batch(case, data):
    batch = case[1]
    hosts = data.draw(st.sampled_from([n for n in range(1, batch + 1) if batch % n == 0]))
    whole = make_stream(case)
    parts = [make_stream(case, num_hosts=hosts, host=host) for host in range(hosts)]
    for step in data.draw(st.lists(st.integers(0, 10_000), min_size=1, max_size=4)):
        for one, other in zip(
            whole.step(step), zip(*(part.step(step) for part in parts), strict=True), strict=True
        ):
            np.testing.assert_array_equal(one, np.concatenate(other))


@settings(deadline=None)
@given(case=streams(), first=st.integers(0, 500))
def test_stream_resumed_at_any_step_goes_on_as_if_it_had_run(case, first):
    running, resumed = make_stream(case), make_stream(case)
    steps = [running.step(step) for step in range(first, first + 6)]
    for step in reversed(range(first, first + 6)):
        for one, other in zip(resumed.step(step), steps[step - first], strict=True):
            np.testing.assert_array_equal(one, other)


def test_epoch_order_differs_by_epoch_and_seed():
    blocks = order.cut_blocks(files_of(200), 1)
    orders = [
        order.epoch_order(seed, epoch, blocks, OrderOptions(1)).tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len({tuple(one) for one in orders}) == 4


def test_epoch_order_of_a_frozen_case_stays_what_it_was():
    # A resumed run relies on it: if this fails, old runs go on with other batches than they began
    # with.
    blocks = order.cut_blocks(files_of(12, 5), 2)
    assert order.epoch_order(7, 1, blocks, OrderOptions(2, 2, 3)).tolist() == FROZEN


FROZEN = [3, 0, 2, 11, 10, 1, 7, 4, 5, 8, 9, 6]


def classes_per_batch(stream: TrainOrder, classes: np.ndarray, steps: int) -> float:
    return np.mean([len(set(classes[stream.step(step)[0]])) for step in range(steps)])


@pytest.mark.parametrize(
    "options, least",
    [
        (order.random_access_options(), 0.99),
        (order.block_options(12_800, 110_000, 256), 0.95),
        (order.block_options(12_800, 1_000, 256), 0.95),
    ],
)
def test_stream_of_data_sorted_by_label_has_most_classes_in_a_batch(options, least):
    count, num_classes, batch = 12_800, 100, 256
    classes = np.arange(count) * num_classes // count
    stream = TrainOrder(files_of(count, 640), options, batch_size=batch, seed=0)
    uniform = num_classes * (1 - (1 - 1 / num_classes) ** batch)
    assert classes_per_batch(stream, classes, 40) >= least * uniform


def test_epoch_order_with_windows_stays_near_its_blocks():
    blocks = order.cut_blocks(files_of(1000, 1000), 10)
    options = OrderOptions(lanes=2, block_records=10, window_records=50)
    lane = order.epoch_order(0, 0, blocks, options)[:500]
    # A window of 50 records can touch six blocks of ten at most.
    for start in range(0, 500, 50):
        assert len(set(lane[start : start + 50] // 10)) <= 6


def test_stream_that_hosts_or_lanes_cannot_share_is_refused():
    with pytest.raises(OrchardError, match="3 hosts can't share a global batch of 8"):
        TrainOrder(files_of(64), OrderOptions(1), batch_size=8, seed=0, num_hosts=3)
    with pytest.raises(OrchardError, match="5 lanes don't divide the global batch of 8"):
        TrainOrder(files_of(64), OrderOptions(5), batch_size=8, seed=0)
    with pytest.raises(OrchardError, match="8 lanes need as many records, received 7"):
        TrainOrder(files_of(7), OrderOptions(8), batch_size=8, seed=0)
    with pytest.raises(OrchardError, match="3 hosts can't share 8 lanes"):
        order.host_lanes(OrderOptions(8), 3, 0)


@pytest.mark.parametrize("count, batch, lanes", [(10_000, 96, 48), (100, 96, 3), (5, 96, 1)])
def test_block_options_of_small_splits_keep_lanes_long(count, batch, lanes):
    assert order.block_options(count, 1000, batch).lanes == lanes


@pytest.mark.parametrize(
    "count, record_bytes, batch, lanes, block, window",
    [
        (12_800, 110_000, 256, 64, 9, 72),
        (1_000_000, 1_000, 4096, 64, 64, 8192),
        (1_000_000, 10_000_000, 65, 13, 1, 10),
        (1_000_000, 0.1, 7, 7, 64, 128),
        (1_000_000, 0, 7, 7, 64, 128),
        (1_000_000, 2**19, 1, 1, 2, 4),
        (2_016, 1_000, 126, 63, 64, 256),
        (31, 1_000, 3, 1, 64, 384),
    ],
)
def test_block_options_read_a_mebibyte_in_lanes_that_divide_the_batch(
    count, record_bytes, batch, lanes, block, window
):
    assert order.block_options(count, record_bytes, batch) == OrderOptions(lanes, block, window)


@pytest.mark.parametrize("name", ["lanes", "block_records", "window_records"])
def test_order_options_below_one_are_refused(name):
    assert OrderOptions(**{"lanes": 1, name: 1})
    with pytest.raises(OrchardError, match=f"order: {name} is 0; it must be 1 or more"):
        OrderOptions(**{"lanes": 1, name: 0})


def test_epoch_orders_make_the_next_epoch_before_it_is_asked_for_and_keep_three():
    made: list[int] = []
    next_is_made = threading.Event()

    def make(epoch: int) -> np.ndarray:
        made.append(epoch)
        if epoch == 1:
            next_is_made.set()
        return np.array([epoch])

    orders = order.EpochOrders(make)
    assert orders[0].tolist() == [0]
    assert next_is_made.wait(30)
    assert [orders[epoch].tolist() for epoch in (1, 2, 3)] == [[1], [2], [3]]
    assert orders[3].tolist() == orders[3].tolist() == [3]
    assert orders[2].tolist() == [2]
    # Of the five that were made 2, 3 and 4 are there; 1 is made again, and then 0.
    assert orders[1].tolist() == [1] and orders[0].tolist() == [0]
    assert [made.count(epoch) for epoch in (0, 1, 2, 3)] == [2, 2, 1, 1]


def test_host_lanes_are_equal_parts_in_the_order_of_the_hosts():
    parts = [order.host_lanes(OrderOptions(8), 4, host) for host in range(4)]
    assert [list(part) for part in parts] == [[0, 1], [2, 3], [4, 5], [6, 7]]
