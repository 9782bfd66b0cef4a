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
def test_every_task_has_its_result(workers, ahead):
    with LocalEngine(workers) as engine:
        results = dict(engine.map(square, list(range(20)), ahead))
    assert results == {at: at * at for at in range(20)}


def test_no_task_is_no_result():
    with LocalEngine(1) as engine:
        assert list(engine.map(square, [])) == []


def test_a_tasks_error_reaches_the_caller_as_it_is():
    with LocalEngine(2) as engine, pytest.raises(OrchardError, match="^cannot do 3$"):
        list(engine.map(refuse, [3]))


def test_a_dead_worker_is_told_in_one_line():
    with LocalEngine(2) as engine, pytest.raises(OrchardError, match="worker process was killed"):
        list(engine.map(die, [1]))


def test_an_exception_leaves_no_worker_at_work():
    with pytest.raises(ZeroDivisionError), LocalEngine(2) as engine:
        # Longer than any test may take: whoever waited for them would be noticed.
        engine.map(wait, [10_000, 10_000, 10_000])
        workers = multiprocessing.active_children()
        raise ZeroDivisionError
    assert len(workers) == 2 and not any(worker.is_alive() for worker in workers)
