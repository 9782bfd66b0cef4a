"""Photos of several requests in one batch, which devices want that are fast on many at once."""

import asyncio
import collections
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass
class _Waiting(Generic[Item, Answer]):
    item: Item
    answer: "asyncio.Future[Answer]"
    since: float = field(default_factory=time.monotonic)


class BatchQueue(Generic[Item, Answer]):
    """Single items in, answers out; in between they are together.

    While a batch runs, what arrives waits for the next. Where nothing runs, an item waits for
    others, but not long. Everything but `run` happens in the event loop.

    Args:
        run: of a batch, one answer an item; called in the executor, one call at a time.
        executor: where.
        max_batch: items of a batch.
        max_wait_seconds: that the first of a batch waits for others.
        on_batch: told the size of each batch.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Answer]],
        executor: Executor,
        *,
        max_batch: int,
        max_wait_seconds: float,
        on_batch: Callable[[int], None] = lambda size: None,
    ):
        self._run, self._executor, self._on_batch = run, executor, on_batch
        self._max_batch, self._max_wait_seconds = max_batch, max_wait_seconds
        self._waiting: collections.deque[_Waiting[Item, Answer]] = collections.deque()
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    async def submit(self, items: Sequence[Item]) -> list[Answer]:
        """The answers to some items, which may come from several batches.

        Raises:
            Exception: what `run` raised for one of the batches.
        """
        loop = asyncio.get_running_loop()
        mine = [_Waiting(item, loop.create_future()) for item in items]
        self._waiting.extend(mine)
        self._arrived.set()
        try:
            return list(await asyncio.gather(*(one.answer for one in mine)))
        finally:
            # Where the client is gone, or another batch failed, what still waits need not run.
            for one in mine:
                one.answer.cancel()

    async def serve(self) -> None:
        """Run batches until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next_batch()
            if not batch:
                continue
            self._on_batch(len(batch))
            try:
                items = [one.item for one in batch]
                answers = await loop.run_in_executor(self._executor, self._run, items)
            except Exception as error:
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
            else:
                for one, answer in zip(batch, answers, strict=True):
                    if not one.answer.done():
                        one.answer.set_result(answer)

    async def _next_batch(self) -> list[_Waiting[Item, Answer]]:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        until = self._waiting[0].since + self._max_wait_seconds
        while len(self._waiting) < self._max_batch and (left := until - time.monotonic()) > 0:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except asyncio.TimeoutError:
                break
        size = min(self._max_batch, len(self._waiting))
        taken = [self._waiting.popleft() for _ in range(size)]
        return [one for one in taken if not one.answer.done()]
