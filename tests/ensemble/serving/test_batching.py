"""Items of several callers in one batch."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ensemble.serving.batching import BatchQueue


def _with_queue(work, run, **options):
    """Run `work(queue)` in a loop, beside the queue."""
    options = {"max_batch": 4, "max_wait_seconds": 0.05, **options}

    async def main():
        with ThreadPoolExecutor(1) as executor:
            queue = BatchQueue(run, executor, **options)
            task = asyncio.create_task(queue.serve())
            try:
                return await asyncio.wait_for(work(queue), 20)
            finally:
                task.cancel()

    return asyncio.run(main())


def test_each_caller_gets_the_answers_to_its_own_items():
    sizes = []

    async def work(queue):
        return await asyncio.gather(*(queue.submit(range(at, at + at % 4)) for at in range(40)))

    found = _with_queue(work, lambda items: [-item for item in items], on_batch=sizes.append)
    assert found == [[-item for item in range(at, at + at % 4)] for at in range(40)]
    assert max(sizes) == 4 and sum(sizes) == sum(at % 4 for at in range(40))
    assert len(sizes) == sum(sizes) // 4  # they wait for each other, so that batches are full


def test_item_that_is_alone_waits_no_longer_than_it_should():
    async def work(queue):
        loop = asyncio.get_running_loop()
        started = loop.time()
        await queue.submit([1])
        return loop.time() - started

    assert _with_queue(work, list, max_wait_seconds=0.2) >= 0.19
    assert _with_queue(work, list, max_wait_seconds=0.0, max_batch=1000) < 5


def test_what_arrives_while_a_batch_runs_is_the_next_batch():
    may_end, sizes = threading.Event(), []

    def run(items):
        may_end.wait(10)
        return items

    async def work(queue):
        first = asyncio.create_task(queue.submit([0]))
        while not sizes:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(queue.submit([at])) for at in range(1, 4)]
        await asyncio.sleep(0.01)
        assert len(queue) == 3
        may_end.set()
        return await asyncio.gather(first, *others)

    found = _with_queue(work, run, max_wait_seconds=0.0, on_batch=sizes.append)
    assert found == [[0], [1], [2], [3]] and sizes == [1, 3]


def test_error_of_a_batch_is_that_of_its_callers_alone():
    def run(items):
        if "bad" in items:
            raise ValueError("no")
        return items

    async def work(queue):
        bad = asyncio.create_task(queue.submit(["bad"]))
        with pytest.raises(ValueError, match="no"):
            await bad
        return await queue.submit(["good"])

    assert _with_queue(work, run, max_batch=1) == ["good"]


def test_items_of_a_caller_that_is_gone_do_not_run():
    may_end, seen = threading.Event(), []

    def run(items):
        seen.extend(items)
        may_end.wait(10)
        return items

    async def work(queue):
        first = asyncio.create_task(queue.submit(["first"]))
        while not seen:
            await asyncio.sleep(0.001)
        gone = asyncio.create_task(queue.submit(["gone"]))
        await asyncio.sleep(0.01)
        gone.cancel()
        last = asyncio.create_task(queue.submit(["last"]))
        await asyncio.sleep(0.01)
        may_end.set()
        await asyncio.gather(first, last)

    _with_queue(work, run, max_wait_seconds=0.0, max_batch=1)
    assert seen == ["first", "last"]
