import threading

import pytest

from orchard.parallel.background import Background, in_parallel


def test_results_come_back_as_they_are_finished():
    with Background(lambda item: item * 2, max_waiting_bytes=10, threads=8) as uploads:
        results = [result for item in range(20) for result in uploads.add(item, 1)]
        results += uploads.drain()
    assert sorted(results) == [item * 2 for item in range(20)]


def test_no_more_than_the_limit_waits_on_the_disk():
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
            list(uploads.add(item, 10))
        for _ in range(12):
            go_on.release()
        list(uploads.drain())
    # Three may wait, and one is being added.
    assert most == 4


def test_uploads_overlap():
    together = threading.Barrier(4, timeout=20)
    with Background(lambda _: together.wait(), max_waiting_bytes=100, threads=4) as uploads:
        results = [result for item in range(4) for result in uploads.add(item, 1)]
        assert len(results + list(uploads.drain())) == 4


def test_a_failed_upload_is_raised_to_who_adds_or_drains():
    def fail(_):
        raise OSError("no route")

    with pytest.raises(OSError, match="no route"):
        with Background(fail, max_waiting_bytes=0, threads=8) as uploads:
            list(uploads.add("a", 1))
            list(uploads.drain())


def test_after_a_failure_what_has_not_begun_is_not_uploaded():
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
                list(uploads.add(item, 1))
            may_fail.set()
            next(uploads.drain())
    assert begun == [0]


def test_no_thread_is_left_when_all_is_done():
    before = set(threading.enumerate())
    assert in_parallel(lambda item: -item, range(50), threads=4) == [-item for item in range(50)]
    assert not set(threading.enumerate()) - before


def test_what_is_stuck_does_not_keep_an_interrupted_program():
    stuck = threading.Event()
    with pytest.raises(KeyboardInterrupt), Background(stuck.wait, 10, threads=2) as background:
        list(background.add(None, 1))
        raise KeyboardInterrupt
    stuck.set()


def test_the_first_failure_of_many_is_raised():
    def fail(item):
        raise OSError(f"no route to {item}")

    with pytest.raises(OSError, match="no route to"):
        in_parallel(fail, range(20), threads=4)
