"""Work in background threads, on what is finished, while what comes next is being made."""

import concurrent.futures
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Background(Generic[Item, Result]):
    """Calls `function(item)` in threads; a context manager.

    Threads are enough for uploads and for flushing to a disk: they wait, or are in code that lets
    others run. They are daemons, so that an interrupted program does not end only when they do.

    Args:
      function: does the work on one item.
      max_waiting_bytes: `add` returns only once no more than this is left to do.
      threads: how many items are worked on at a time.
    """

    def __init__(
        self, function: Callable[[Item], Result], max_waiting_bytes: int, threads: int
    ) -> None:
        self._function = function
        self.max_waiting_bytes = max_waiting_bytes
        self._waiting: dict[Future, int] = {}
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"background-{index}")
            for index in range(threads)
        ]

    def __enter__(self) -> "Background[Item, Result]":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._waiting:
            future.cancel()
        for _ in self._threads:
            self._tasks.put(None)

    def add(self, item: Item, num_bytes: int) -> Iterator[Result]:
        """Begin with `item`; yields the results that are there, waiting while too many are not.

        Raises:
          Exception: what an earlier item raised.
        """
        future: Future = Future()
        self._waiting[future] = num_bytes
        self._tasks.put((future, item))
        yield from self._finished(wait=False)
        while sum(self._waiting.values()) > self.max_waiting_bytes:
            yield from self._finished(wait=True)

    def drain(self) -> Iterator[Result]:
        """The results of all the rest."""
        while self._waiting:
            yield from self._finished(wait=True)

    def _finished(self, wait: bool) -> Iterator[Result]:
        first = concurrent.futures.FIRST_COMPLETED
        done, _ = concurrent.futures.wait(
            self._waiting, timeout=None if wait else 0, return_when=first
        )
        if self._error is not None:
            raise self._error
        for future in done:
            del self._waiting[future]
        for future in done:
            yield future.result()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, item = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                # After a failure the rest is left: the program is about to stop.
                future.set_result(self._function(item) if self._error is None else None)
            except BaseException as error:
                self._error = self._error or error
                future.set_exception(error)
