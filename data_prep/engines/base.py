"""Maps one function over many tasks: on a process pool, or on Apache Beam (`beam.py`)."""

import abc
import concurrent.futures
import itertools
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from data_prep.config import PrepConfig
from orchard import storage
from orchard.errors import OrchardError
from orchard.parallel import die_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")


def default_workers() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Engine(abc.ABC):
    """Runs tasks in parallel; a context manager.

    Attributes:
      workers: how many run at a time, at least about.
      shares_files: whether workers see the local files of this process.
    """

    workers: int
    shares_files: bool

    @abc.abstractmethod
    def __enter__(self) -> "Engine": ...

    @abc.abstractmethod
    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None: ...

    @abc.abstractmethod
    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], ahead: int | None = None
    ) -> Iterator[tuple[int, Result]]:
        """(position, result) of every task, in any order.

        The work begins at once, not with the first item that is asked for. With `ahead`, at most
        that many tasks are begun and not yet asked for: what they leave on the disk is bounded.

        Raises:
          OrchardError: raised by a task, or a worker process died.
        """


def open_engine(config: PrepConfig, staging_root: str) -> Engine:
    """The engine that the settings ask for."""
    if config.engine == "beam":
        from data_prep.engines.beam import BeamEngine

        return BeamEngine(config.beam_options, storage.join(staging_root, "results"))
    return LocalEngine(config.workers)


class LocalEngine(Engine):
    """A pool of worker processes; a context manager.

    The workers die with this process, however it dies, and within moments when the block is left
    by an exception: what they were writing is unfinished by name and is written again.
    """

    shares_files = True

    def __init__(self, workers: int) -> None:
        self.workers = workers or default_workers()
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None
        self._others: set[Any] = set()

    def __enter__(self) -> "LocalEngine":
        self._others = set(multiprocessing.active_children())
        self._pool = concurrent.futures.ProcessPoolExecutor(
            self.workers,
            multiprocessing.get_context(_start_method()),
            _enter_worker,
            (os.getpid(),),
        )
        # The first task starts the processes; they start while the caller reads its CSV.
        self._pool.submit(os.getpid)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            # All of them, also those that were spawned later: one that is left would wait for ever
            # for a lock that a killed one held.
            for process in set(multiprocessing.active_children()) - self._others:
                process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], ahead: int | None = None
    ) -> Iterator[tuple[int, Result]]:
        """(position, result) of every task, in the order in which they finish."""
        rest = iter(enumerate(tasks))
        positions: dict[concurrent.futures.Future, int] = {}
        done: queue.SimpleQueue = queue.SimpleQueue()

        def begin(count: int | None) -> None:
            for at, task in itertools.islice(rest, count):
                future = self._pool.submit(function, task)
                positions[future] = at
                future.add_done_callback(done.put)

        begin(ahead)
        return self._results(positions, done, begin)

    def _results(
        self,
        positions: dict[concurrent.futures.Future, int],
        done: queue.SimpleQueue,
        begin: Callable[[int], None],
    ) -> Iterator[tuple[int, Any]]:
        try:
            while positions:
                future = done.get()
                # A result is let go of once it was handed out: memory must not grow with the tasks.
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
