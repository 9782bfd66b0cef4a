import numpy as np
import pytest

from orchard.errors import OrchardError
from trainer.data import order
from trainer.data.order import OrderOptions, TrainOrder


def files_of(count: int, per_file: int = 13) -> np.ndarray:
    return (np.arange(count) // per_file).astype(np.int32)


def gids(stream: TrainOrder, steps: range) -> np.ndarray:
    return np.concatenate([stream.step(step)[0] for step in steps])


def test_blocks_end_where_files_end():
    blocks = order.cut_blocks(np.array([0, 0, 0, 0, 0, 2, 2, 3]), 2)
    assert blocks.starts.tolist() == [0, 2, 4, 5, 7]
    assert blocks.lengths.tolist() == [2, 2, 1, 2, 1]


CASES = [
    (100, 20, OrderOptions(1)),
    (10, 32, OrderOptions(1)),
    (101, 12, OrderOptions(4, 5, 9)),
    (57, 16, OrderOptions(8, 3, 100)),
    (11, 16, OrderOptions(4, 2, 3)),
]


@pytest.mark.parametrize("count, batch, options", CASES)
def test_every_record_comes_once_an_epoch(count, batch, options):
    stream = TrainOrder(files_of(count), options, batch_size=batch, seed=1)
    steps = [stream.step(step) for step in range(5 * count // batch + 1)]
    seen = np.concatenate([s[0] for s in steps])
    epochs = np.concatenate([s[1] for s in steps])
    for epoch in range(3):
        assert sorted(seen[epochs == epoch]) == list(range(count))


@pytest.mark.parametrize("count, batch, options", CASES)
def test_any_number_of_hosts_makes_the_same_global_batches(count, batch, options):
    whole = TrainOrder(files_of(count), options, batch_size=batch, seed=2)
    for hosts in (2, 4):
        parts = [
            TrainOrder(
                files_of(count), options, batch_size=batch, seed=2, num_hosts=hosts, host=host
            )
            for host in range(hosts)
        ]
        for step in range(12):
            joined = np.concatenate([part.step(step)[0] for part in parts])
            assert joined.tolist() == whole.step(step)[0].tolist()


def test_a_step_depends_on_nothing_but_its_number():
    stream = TrainOrder(files_of(100), OrderOptions(4, 3, 8), batch_size=8, seed=3)
    forward = [stream.step(step)[0].tolist() for step in range(40)]
    fresh = TrainOrder(files_of(100), OrderOptions(4, 3, 8), batch_size=8, seed=3)
    assert [fresh.step(step)[0].tolist() for step in range(39, -1, -1)] == forward[::-1]


def test_epochs_and_seeds_differ():
    blocks = order.cut_blocks(files_of(200), 1)
    orders = [
        order.epoch_order(seed, epoch, blocks, OrderOptions(1)).tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len({tuple(one) for one in orders}) == 4


def test_an_order_stays_what_it_was():
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
def test_batches_of_data_sorted_by_label_hold_most_classes(options, least):
    count, num_classes, batch = 12_800, 100, 256
    classes = np.arange(count) * num_classes // count
    stream = TrainOrder(files_of(count, 640), options, batch_size=batch, seed=0)
    uniform = num_classes * (1 - (1 - 1 / num_classes) ** batch)
    assert classes_per_batch(stream, classes, 40) >= least * uniform


def test_windows_keep_a_lane_near_its_blocks():
    blocks = order.cut_blocks(files_of(1000, 1000), 10)
    options = OrderOptions(lanes=2, block_records=10, window_records=50)
    lane = order.epoch_order(0, 0, blocks, options)[:500]
    # A window of 50 records can touch six blocks of ten at most.
    for start in range(0, 500, 50):
        assert len(set(lane[start : start + 50] // 10)) <= 6


def test_what_cannot_be_shared_is_refused():
    with pytest.raises(OrchardError, match="3 hosts can't share a global batch of 8"):
        TrainOrder(files_of(64), OrderOptions(1), batch_size=8, seed=0, num_hosts=3)
    with pytest.raises(OrchardError, match="5 lanes don't divide the global batch of 8"):
        TrainOrder(files_of(64), OrderOptions(5), batch_size=8, seed=0)
    with pytest.raises(OrchardError, match="8 lanes need as many records, received 7"):
        TrainOrder(files_of(7), OrderOptions(8), batch_size=8, seed=0)
    with pytest.raises(OrchardError, match="3 hosts can't share 8 lanes"):
        order.host_lanes(OrderOptions(8), 3, 0)


@pytest.mark.parametrize("count, batch, lanes", [(10_000, 96, 48), (100, 96, 3), (5, 96, 1)])
def test_lanes_of_small_splits_stay_long(count, batch, lanes):
    assert order.block_options(count, 1000, batch).lanes == lanes
