"""Work in background threads, on what is finished, while what comes next is being made."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Background(Generic[Item, Result]):
    """Calls `function(item)` in threads; a context manager.

    Threads are enough for requests and for flushing to a disk: they wait, or are in code that lets
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
        self._waiting = self._waiting_bytes = 0
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._done: queue.SimpleQueue = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._left = False
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"background-{index}")
            for index in range(threads)
        ]

    def __enter__(self) -> "Background[Item, Result]":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._left = True
        for _ in self._threads:
            self._tasks.put(None)
        if error is None:
            # They are at nothing: a process without threads may fork.
            for thread in self._threads:
                thread.join()

    def begin(self, item: Item, num_bytes: int = 0) -> None:
        """Have `item` worked on."""
        self._waiting += 1
        self._waiting_bytes += num_bytes
        self._tasks.put((item, num_bytes))

    def add(self, item: Item, num_bytes: int) -> Iterator[Result]:
        """`begin` with `item`; yields the results that are there, waiting while too much is left.

        Raises:
          Exception: what an earlier item raised.
        """
        self.begin(item, num_bytes)
        while not self._done.empty() or self._waiting_bytes > self.max_waiting_bytes:
            yield self._next()

    def drain(self) -> Iterator[Result]:
        """The results of all the rest."""
        while self._waiting:
            yield self._next()

    def _next(self) -> Result:
        num_bytes, result = self._done.get()
        if self._error is not None:
            raise self._error
        self._waiting -= 1
        self._waiting_bytes -= num_bytes
        return result

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            item, num_bytes = task
            result = None
            # After a failure or an interruption the rest is left: the program is about to stop.
            if self._error is None and not self._left:
                try:
                    result = self._function(item)
                except BaseException as error:
                    self._error = self._error or error
            self._done.put((num_bytes, result))


def in_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> list[Result]:
    """`function` of each item, in order, by threads.

    Raises:
      Exception: the first that was raised; what has not begun by then is left.
    """

    def numbered(at: int) -> tuple[int, Result]:
        return at, function(items[at])

    with Background(numbered, 0, min(threads, len(items))) as background:
        for at in range(len(items)):
            background.begin(at)
        results = dict(background.drain())
    return [results[at] for at in range(len(items))]
