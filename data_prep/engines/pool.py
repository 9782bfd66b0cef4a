"""The engine of one machine: a pool of processes."""

import concurrent.futures
import itertools
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

from data_prep.engines.base import Engine, Item, Result
from orchard.errors import OrchardError
from orchard.parallel import die_with_parent, keep_freed_memory


def default_workers() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LocalEngine(Engine):
    """A pool of worker processes.

    The workers die with this process, however it dies. When an exception ends the block they are
    killed at once: what they were writing has a temporary name and is written again.

    Args:
        workers: how many; 0: one a core.
    """

    shares_files = True

    def __init__(self, workers: int) -> None:
        self.workers = workers or default_workers()
        self._older_processes = set(multiprocessing.active_children())
        self._pool = concurrent.futures.ProcessPoolExecutor(
            self.workers,
            multiprocessing.get_context(_start_method()),
            _enter_worker,
            (os.getpid(),),
        )
        # The first task starts the processes; they start while the caller reads its labels.
        self._pool.submit(os.getpid)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            # All of them, also those that were spawned later: one that is left would wait for ever
            # for a lock that a killed one held.
            for process in set(multiprocessing.active_children()) - self._older_processes:
                process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], ahead: int | None = None
    ) -> Iterator[tuple[int, Result]]:
        """(position, result) of every item, in the order in which they finish."""
        rest = iter(enumerate(items))
        positions: dict[Future[Result], int] = {}
        done: queue.SimpleQueue[Future[Result]] = queue.SimpleQueue()

        def begin(count: int | None) -> None:
            for position, item in itertools.islice(rest, count):
                future = self._pool.submit(function, item)
                positions[future] = position
                future.add_done_callback(done.put)

        begin(ahead)
        return _results(positions, done, begin)


def _results(
    positions: dict[Future[Result], int],
    done: "queue.SimpleQueue[Future[Result]]",
    begin: Callable[[int], None],
) -> Iterator[tuple[int, Result]]:
    try:
        while positions:
            future = done.get()
            # No result is kept once it was handed out: memory must not grow with their number.
            yield positions.pop(future), future.result()
            begin(1)
    except BrokenProcessPool as error:
        raise OrchardError(
            "a worker process was killed (out of memory?); run the same command again to go "
            "on, with fewer --workers if memory is short"
        ) from error


def _start_method() -> str:
    """How to start workers: fork is fast, but not safe once TensorFlow or any other thread runs."""
    single = threading.active_count() == 1 and "tensorflow.python" not in sys.modules
    can_fork = "fork" in multiprocessing.get_all_start_methods() and sys.platform == "linux"
    return "fork" if single and can_fork else "spawn"


def _enter_worker(parent: int) -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)
    keep_freed_memory()  # They hold one photo after the other.
