import subprocess
import sys
import threading

import pytest

from orchard.parallel import Background, DaemonExecutor, in_parallel


def test_background_add_and_drain_return_every_result():
    with Background(lambda item: item * 2, max_waiting_bytes=10, threads=8) as uploads:
        results = [result for item in range(20) for result in uploads.add(item, 1)]
        results += uploads.drain()
    assert sorted(results) == [item * 2 for item in range(20)]


def test_background_add_waits_while_too_many_bytes_are_unfinished():
    go_on, on_disk, most = threading.Semaphore(0), set(), 0

    def upload(item):
        go_on.acquire()
        on_disk.discard(item)
        return item

    with Background(upload, max_waiting_bytes=30, threads=8) as uploads:
        for item in range(12):
            on_disk.add(item)
            most = max(most, len(on_disk))
            if item >= 3:
                go_on.release()
            uploads.add(item, 10)
        for _ in range(12):
            go_on.release()
        list(uploads.drain())
    # Three may wait, and one is being added.
    assert most == 4


def test_background_items_overlap():
    together = threading.Barrier(4, timeout=20)
    with Background(lambda _: together.wait(), max_waiting_bytes=100, threads=4) as uploads:
        results = [result for item in range(4) for result in uploads.add(item, 1)]
        assert len(results + list(uploads.drain())) == 4


def test_background_failure_is_raised_by_add_or_drain():
    def fail(_):
        raise OSError("no route")

    with pytest.raises(OSError, match="no route"):
        with Background(fail, max_waiting_bytes=0, threads=8) as uploads:
            uploads.add("a", 1)
            list(uploads.drain())


def test_background_after_a_failure_begins_nothing_more():
    begun, may_fail = [], threading.Event()

    def upload(item):
        begun.append(item)
        if item == 0:
            may_fail.wait(20)
            raise OSError("no route")
        return item

    with pytest.raises(OSError, match="no route"):
        with Background(upload, max_waiting_bytes=100, threads=1) as uploads:
            for item in range(5):
                uploads.add(item, 1)
            may_fail.set()
            next(uploads.drain())
    assert begun == [0]


def test_in_parallel_leaves_no_thread():
    before = set(threading.enumerate())
    assert in_parallel(lambda item: -item, range(50), threads=4) == [-item for item in range(50)]
    assert not set(threading.enumerate()) - before


def test_background_interrupted_does_not_wait_for_a_stuck_item():
    stuck = threading.Event()
    with pytest.raises(KeyboardInterrupt), Background(stuck.wait, 10, threads=2) as background:
        background.add(None, 1)
        raise KeyboardInterrupt
    stuck.set()


def test_in_parallel_failures_raise_the_first():
    def fail(item):
        raise OSError(f"no route to {item}")

    with pytest.raises(OSError, match="no route to"):
        in_parallel(fail, range(20), threads=4)


def test_in_parallel_of_nothing_is_nothing():
    assert in_parallel(str, []) == []


def test_executor_map_is_that_of_concurrent_futures():
    with DaemonExecutor(2) as pool:
        assert list(pool.map(pow, [2, 3], [5, 2])) == [32, 9]


def test_executor_task_that_is_cancelled_is_not_called():
    may_end, called = threading.Event(), []
    with DaemonExecutor(1) as pool:
        pool.submit(may_end.wait, 20)
        cancelled, other = pool.submit(called.append, "cancelled"), pool.submit(called.append, "x")
        assert cancelled.cancel()
        may_end.set()
        other.result(20)
    assert called == ["x"]


def test_executor_stuck_threads_do_not_keep_the_program_from_ending():
    program = (
        "import time\nfrom orchard.parallel import in_parallel\n"
        "def wait(item):\n    if item: raise KeyboardInterrupt\n    time.sleep(600)\n"
        "in_parallel(wait, range(2))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert b"KeyboardInterrupt" in done.stderr
