"""Threads for what mostly waits, such as requests to a server or flushing files to a disk."""

import concurrent.futures
import functools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Below the 10 connections that HTTP clients keep open to a server.
REQUEST_THREADS = 8


class DaemonExecutor(concurrent.futures.Executor):
    """A ThreadPoolExecutor that never keeps an interrupted program from ending.

    Its threads are daemons, and a block `with` that ends by an exception does not wait for them:
    after Ctrl-C nobody waits for a network that may be why it was pressed. After the first failure
    nothing more is begun: what still waits fails with the same exception.
    """

    def __init__(self, threads: int) -> None:
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(
        self, function: Callable[..., Result], /, *args: Any, **kwargs: Any
    ) -> Future[Result]:
        """Have `function(*args, **kwargs)` called by a thread."""
        future: Future[Result] = Future()
        self._tasks.put((future, functools.partial(function, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Have the threads end after the tasks submitted so far, or after those that are running.

        Args:
            wait: return once they have ended; a process may fork safely then.
            cancel_futures: let tasks that are not running yet fail.
        """
        if cancel_futures:
            self._error = self._error or concurrent.futures.CancelledError()
        for _ in self._threads:
            self._tasks.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self.shutdown(wait=error is None, cancel_futures=error is not None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._do(*task)
            del task  # Else what it works on stays in memory until there is another.

    def _do(self, future: Future[Result], call: Callable[[], Result]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            if self._error is None:
                future.set_result(call())
                return
        except BaseException as error:
            self._error = self._error or error
        assert self._error is not None
        future.set_exception(self._error)


class Background(Generic[Item, Result]):
    """Calls `function(item)` in threads while the next item is being made; a context manager.

    Args:
        function: does the work on one item.
        max_waiting_bytes: `add` returns once no more than this is unfinished; may be changed.
        threads: how many items are worked on at a time.
    """

    def __init__(
        self, function: Callable[[Item], Result], max_waiting_bytes: int, threads: int
    ) -> None:
        self._function = function
        self.max_waiting_bytes = max_waiting_bytes
        self._executor = DaemonExecutor(threads)
        self._waiting_bytes: dict[Future[Result], int] = {}

    def __enter__(self) -> "Background[Item, Result]":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._executor.__exit__(kind, error, trace)

    def add(self, item: Item, num_bytes: int) -> list[Result]:
        """Begin with `item`, and wait while more than `max_waiting_bytes` is unfinished.

        Returns:
            The results of what was finished since the last call.

        Raises:
            Exception: raised by the function for an earlier item.
        """
        self._waiting_bytes[self._executor.submit(self._function, item)] = num_bytes
        results = self._finished()
        while sum(self._waiting_bytes.values()) > self.max_waiting_bytes:
            concurrent.futures.wait(self._waiting_bytes, return_when="FIRST_COMPLETED")
            results += self._finished()
        return results

    def drain(self) -> Iterator[Result]:
        """The results of all the rest, as they are finished."""
        for future in concurrent.futures.as_completed(list(self._waiting_bytes)):
            del self._waiting_bytes[future]
            yield future.result()

    def _finished(self) -> list[Result]:
        done = [future for future in self._waiting_bytes if future.done()]
        for future in done:
            del self._waiting_bytes[future]
        return [future.result() for future in done]


def in_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int = REQUEST_THREADS
) -> list[Result]:
    """`function` of each item, in order, by threads.

    Raises:
        Exception: the first that the function raised; nothing more is begun then.
    """
    with DaemonExecutor(min(threads, len(items))) as executor:
        futures = [executor.submit(function, item) for item in items]
        for future in concurrent.futures.as_completed(futures):
            future.result()
        return [future.result() for future in futures]
