"""Which record comes when: a pure function of (seed, epoch), the same for any number of hosts.

An epoch's order is made in three steps, each of which a block reader can follow with contiguous
reads:

1. The records are cut into blocks of consecutive records of one file, and the blocks are shuffled.
2. The shuffled blocks, laid end to end, are cut into *lanes*: ranges of records of equal length (to
   one).
3. Inside a lane the records are shuffled within *windows*.

A batch takes the same number of records from every lane, lane after lane, and a host takes a
contiguous part of the batch: the hosts' parts, one after the other, are the same global batch for
any number of hosts. Lanes run on across epochs: every record comes exactly once an epoch, nothing
is padded or dropped. (Lanes differ by one record, so after e epochs they are at most e records
apart.)

Blocks, windows and lanes serve readers that must read contiguously, each host its own lanes. Where
any record can be read, one lane with blocks and windows of one record is a uniform permutation.

Shuffling is a stable argsort of splitmix64 hashes: NumPy promises no stable `Generator.permutation`
across its versions, and a hash can be computed anywhere, also in TensorFlow.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from orchard.errors import OrchardError
from trainer.prng import BLOCK_SALT, WINDOW_SALT, mix_key, splitmix64


@dataclass(frozen=True)
class OrderOptions:
    """What defines the order, beside the seed; a resumed run needs the same.

    Attributes:
        lanes: streams that a batch is made of; divides the batch, and hosts divide it.
        block_records: records that are read in one go (1: any record on its own).
        window_records: records of a lane that are shuffled among each other.
    """

    lanes: int
    block_records: int = 1
    window_records: int = 1

    def __post_init__(self) -> None:
        for name in ("lanes", "block_records", "window_records"):
            if getattr(self, name) < 1:
                raise OrchardError(f"order: {name} is {getattr(self, name)}; it must be 1 or more")


@dataclass(frozen=True)
class Blocks:
    """Runs of records of one file: block i holds gids starts[i] .. starts[i] + lengths[i] - 1."""

    starts: np.ndarray
    lengths: np.ndarray


def cut_blocks(runs: np.ndarray, block_records: int) -> Blocks:
    """Cuts records into blocks of at most `block_records`, none across two runs.

    Args:
        runs: int [n], the run of every record (`RecordTable.runs`), ascending.
        block_records: the longest block.
    """
    edges = np.flatnonzero(np.diff(runs)) + 1
    firsts = np.concatenate([[0], edges])
    lasts = np.concatenate([edges, [len(runs)]])
    starts = np.concatenate(
        [np.arange(a, b, block_records) for a, b in zip(firsts, lasts, strict=True)]
    ).astype(np.int64)
    ends = np.minimum(
        starts + block_records, np.repeat(lasts, -(-(lasts - firsts) // block_records))
    )
    return Blocks(starts, ends - starts)


def lane_bounds(num_records: int, lanes: int) -> np.ndarray:
    """Returns int64 [lanes + 1]: lane l owns the laid-out positions [bounds[l], bounds[l + 1])."""
    return np.arange(lanes + 1, dtype=np.int64) * num_records // lanes


def window_offset(lane: int | np.ndarray, options: OrderOptions) -> int | np.ndarray:
    """How far a lane's windows are shifted, so that no two lanes refill in the same step."""
    return lane * options.window_records // options.lanes


def epoch_order(seed: int, epoch: int, blocks: Blocks, options: OrderOptions) -> np.ndarray:
    """Returns an epoch's gids, int64 [n], lane after lane, each lane in the order it is read."""
    block_key, window_key = mix_key(seed, epoch, BLOCK_SALT), mix_key(seed, epoch, WINDOW_SALT)
    numbers = np.arange(len(blocks.starts), dtype=np.uint64)
    shuffled = np.argsort(splitmix64(numbers ^ block_key), kind="stable")
    starts, lengths = blocks.starts[shuffled], blocks.lengths[shuffled]
    ends = np.cumsum(lengths)
    gids = np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1])
    if options.window_records == 1:
        return gids
    bounds = lane_bounds(len(gids), options.lanes)
    lane = np.repeat(np.arange(options.lanes), np.diff(bounds))
    position = np.arange(len(gids)) - bounds[lane]
    window = (position + window_offset(lane, options)) // options.window_records
    return gids[np.lexsort((splitmix64(gids.astype(np.uint64) ^ window_key), window, lane))]


class EpochOrders:
    """The orders of the epochs in use; the next one is made in the background.

    Thread-safe. Holds three epochs at most: 8 bytes a record each.
    """

    _KEEP = 3

    def __init__(self, make: Callable[[int], np.ndarray]):
        self._make = make
        self._orders: dict[int, Future[np.ndarray]] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="epoch-order")

    def __getitem__(self, epoch: int) -> np.ndarray:
        with self._lock:
            for wanted in (epoch, epoch + 1):
                if wanted not in self._orders:
                    self._orders[wanted] = self._worker.submit(self._make, wanted)
            while len(self._orders) > self._KEEP:
                oldest = min(self._orders)
                if oldest == epoch:
                    break
                del self._orders[oldest]
            future = self._orders[epoch]
        return future.result()


def check_hosts(batch_size: int, num_hosts: int) -> None:
    """Raises OrchardError where the hosts can't share a batch evenly."""
    if batch_size % num_hosts:
        raise OrchardError(
            f"{num_hosts} hosts can't share a global batch of {batch_size} evenly; choose a batch "
            f"size that {num_hosts} divides"
        )


def records_per_lane(num_records: int, options: OrderOptions, batch_size: int) -> int:
    """How many records of a batch a lane gives.

    Raises:
        OrchardError: the lanes don't divide the batch, or one would be empty.
    """
    if batch_size % options.lanes:
        raise OrchardError(
            f"order: {options.lanes} lanes don't divide the global batch of {batch_size}; "
            "choose lanes that do"
        )
    if num_records < options.lanes:
        raise OrchardError(
            f"order: {options.lanes} lanes need as many records, received {num_records}; "
            "choose a smaller batch or fewer lanes"
        )
    return batch_size // options.lanes


def host_lanes(options: OrderOptions, num_hosts: int, host: int) -> range:
    """Which lanes a host reads when each lane is read by one host alone.

    Raises:
        OrchardError: the hosts don't divide the lanes.
    """
    if options.lanes % num_hosts:
        raise OrchardError(
            f"order: {num_hosts} hosts can't share {options.lanes} lanes evenly; choose a batch "
            f"size that has a divisor up to 64 which {num_hosts} divides"
        )
    per_host = options.lanes // num_hosts
    return range(host * per_host, (host + 1) * per_host)


class TrainOrder:
    """The training stream of one host: step -> gids and their epochs.

    Args:
        runs: int [n], the run of every record (`RecordTable.runs`).
        options: lanes, blocks and windows.
        batch_size: the global batch.
        seed: any integer.
        num_hosts: hosts that share each global batch.
        host: this host's number.
    """

    def __init__(
        self,
        runs: np.ndarray,
        options: OrderOptions,
        *,
        batch_size: int,
        seed: int,
        num_hosts: int = 1,
        host: int = 0,
    ):
        check_hosts(batch_size, num_hosts)
        per_lane = records_per_lane(len(runs), options, batch_size)
        blocks = cut_blocks(runs, options.block_records)
        self._orders = EpochOrders(lambda epoch: epoch_order(seed, epoch, blocks, options))
        per_host = batch_size // num_hosts
        in_batch = np.arange(host * per_host, (host + 1) * per_host)
        bounds = lane_bounds(len(runs), options.lanes)
        lane = in_batch // per_lane
        self._per_lane, self._in_lane = per_lane, in_batch % per_lane
        self._starts, self._lengths = bounds[lane], np.diff(bounds)[lane]

    def step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns (gids, epochs), int64 [batch / hosts] each, lane after lane."""
        stream = step * self._per_lane + self._in_lane
        epochs = stream // self._lengths
        positions = self._starts + stream % self._lengths
        gids = np.empty(len(epochs), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            gids[here] = self._orders[int(epoch)][positions[here]]
        return gids, epochs


def random_access_options() -> OrderOptions:
    """The order for records that can be read one by one: a uniform permutation."""
    return OrderOptions(lanes=1)


def block_options(num_records: int, mean_record_bytes: float, batch_size: int) -> OrderOptions:
    """The order for reads in blocks of about 1 MiB, which an object store serves at full speed.

    The windows hold twice as many blocks as a batch has records: on data sorted by label a batch
    then has nearly as many classes as a uniform shuffle gives it. 64 lanes suit up to 64 hosts; a
    lane of a small split has 32 records or more, so that lanes stay nearly equal.
    """
    block_records = int(min(64, max(1, 2**20 // max(1, mean_record_bytes))))
    limit = max(1, min(64, num_records // 32))
    lanes = next(lanes for lanes in range(limit, 0, -1) if batch_size % lanes == 0)
    window_records = max(block_records, 2 * batch_size * block_records // lanes)
    return OrderOptions(lanes, block_records, window_records)
