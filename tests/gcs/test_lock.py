"""The lock object on gs://, and `storage.lock` on top of it."""

import dataclasses
import json
import tempfile
import threading
import time

import pytest

from orchard import storage
from orchard.errors import OrchardError
from orchard.storage import gcs as client
from orchard.storage.gcs_lock import GcsLock, Lease
from tests.gcs_server.conditions import Conditions

QUICK = Lease(length_seconds=1.0, margin_seconds=0.3, beat_seconds=0.05)


@pytest.fixture
def lock(gcs):
    held = []

    def lock(place, lease=QUICK):
        one = GcsLock(gcs.path("locks/a"), gcs.path("a"), place, lease)
        held.append(one)
        return one

    yield lock
    for one in held:
        one._stop.set()


def dies(lock):
    """What a SIGKILL leaves: the object, and nobody who renews it."""
    lock._stop.set()
    lock._thread.join()


def silent(_):
    pass


def test_acquire_lock_that_is_renewed_elsewhere_is_refused(lock):
    # It is refused when it is seen renewed; a busy machine may take its time over that.
    slow = dataclasses.replace(QUICK, length_seconds=100.0)
    lock("here", slow).acquire(silent)
    said = []
    with pytest.raises(OrchardError, match="is being written by another process"):
        lock("elsewhere", slow).acquire(said.append)
    assert "waiting up to 100 s to see whether it is alive" in said[0]


def test_release_frees_the_lock_at_once(gcs, lock):
    first = lock("here")
    first.acquire(silent)
    first.release()
    assert gcs.objects() == {}
    lock("elsewhere").acquire(pytest.fail)


def test_acquire_dead_holder_on_the_same_machine_takes_over_at_once(lock):
    first = lock("here")
    first.acquire(silent)
    dies(first)
    lock("here").acquire(pytest.fail)


def test_acquire_dead_holder_elsewhere_takes_over_after_a_lease(lock):
    first = lock("here")
    first.acquire(silent)
    dies(first)
    second = lock("elsewhere")
    second.acquire(silent)
    second.check()
    assert second._thread.is_alive()


def test_check_lost_lock_is_refused(lock):
    first = lock("here")
    first.acquire(silent)
    dies(first)
    lock("elsewhere").acquire(silent)
    first._stop.clear()  # It was only suspended, and wakes up.
    with pytest.raises(OrchardError, match="another process has taken over the writing"):
        first.check()
    with pytest.raises(OrchardError, match="taken over"):
        first.raise_if_lost()


def test_raise_if_lost_lock_that_cannot_be_renewed_is_given_up(gcs, lock):
    first = lock("here")
    first.acquire(silent)
    gcs.set_conditions(Conditions(deny_status=403))
    deadline = time.monotonic() + 100
    with pytest.raises(OrchardError, match="the lock could not be renewed"):
        while time.monotonic() < deadline:
            first.raise_if_lost()
            time.sleep(0.01)


def test_release_lost_lock_leaves_the_new_holders(gcs, lock):
    first = lock("here")
    first.acquire(silent)
    dies(first)
    second = lock("elsewhere")
    second.acquire(silent)
    first.release()
    assert json.loads(gcs.read("locks/a"))["place"] == "elsewhere"


def test_acquire_by_two_after_a_dead_holder_succeeds_once(lock):
    first = lock("here")
    first.acquire(silent)
    dies(first)
    outcomes = []

    def try_it(place):
        try:
            lock(place).acquire(silent)
            outcomes.append("acquired")
        except OrchardError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=try_it, args=(f"place {n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("acquired") == 1
    assert any("is being written by another process" in text for text in outcomes)


def test_acquire_object_that_is_no_lock_waits_for_a_lease(gcs, lock):
    client.write_bytes(gcs.path("locks/a"), b"not JSON")
    said = []
    lock("here").acquire(said.append)
    assert len(said) == 1


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Gives this process the temporary folder of a machine, by its name."""

    def machine(name):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))

    machine("this")
    return machine


def storage_lock(gcs):
    return storage.lock(gcs.path("locks/a"), gcs.path("a"), "advice")


def test_storage_lock_held_on_the_same_machine_is_refused_at_once(gcs, machine, capsys):
    with storage_lock(gcs) as held:
        held.check()
        with pytest.raises(OrchardError, match=r"a is being written by another process \(pid \d+"):
            with storage_lock(gcs):
                pass
    assert capsys.readouterr().out == ""
    assert gcs.objects() == {}


def test_storage_lock_held_on_another_machine_is_refused(gcs, machine, capsys):
    with storage_lock(gcs):
        machine("other")
        with pytest.raises(OrchardError, match="a is being written by another process"):
            with storage_lock(gcs):
                pass
    assert "has a writer, process" in capsys.readouterr().out


def test_storage_lock_left_by_a_dead_process_here_is_taken_over_at_once(gcs, machine, capsys):
    with storage_lock(gcs):
        left = gcs.read("locks/a")
    client.write_bytes(gcs.path("locks/a"), left)
    with storage_lock(gcs):
        pass
    assert capsys.readouterr().out == ""


def test_storage_lock_interrupted_does_not_wait_for_the_network(gcs, machine):
    with pytest.raises(KeyboardInterrupt), storage_lock(gcs):
        gcs.set_conditions(Conditions(latency_ms=20_000))
        started = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - started < 10
