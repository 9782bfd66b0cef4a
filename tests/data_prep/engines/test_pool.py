import multiprocessing
import os
import time

import pytest

from data_prep.engines.pool import LocalEngine
from orchard.errors import OrchardError


def square(number):
    return number * number


def refuse(number):
    raise OrchardError(f"cannot do {number}")


def die(number):
    os._exit(1)


def wait(seconds):
    time.sleep(seconds)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("ahead", [None, 1, 2])
def test_map_of_many_items_has_a_result_for_each(workers, ahead):
    with LocalEngine(workers) as engine:
        results = dict(engine.map(square, list(range(20)), ahead))
    assert results == {at: at * at for at in range(20)}


def test_map_of_no_items_has_no_results():
    with LocalEngine(1) as engine:
        assert list(engine.map(square, [])) == []


def test_map_of_a_failing_call_raises_its_error():
    with LocalEngine(2) as engine, pytest.raises(OrchardError, match="^cannot do 3$"):
        list(engine.map(refuse, [3]))


def test_map_with_a_dead_worker_raises_one_line():
    with LocalEngine(2) as engine, pytest.raises(OrchardError, match="worker process was killed"):
        list(engine.map(die, [1]))


def test_block_that_raises_kills_all_workers():
    with pytest.raises(ZeroDivisionError), LocalEngine(2) as engine:
        # Longer than any test may take: whoever waited for them would be noticed.
        engine.map(wait, [10_000, 10_000, 10_000])
        workers = multiprocessing.active_children()
        raise ZeroDivisionError
    assert len(workers) == 2 and not any(worker.is_alive() for worker in workers)
