"""The lock that machines share: held by who renews it, free for others once nobody does."""

import json
import threading
import time

import pytest

from orchard.errors import OrchardError
from orchard.storage import gcs as client
from orchard.storage import gcs_lock
from tests.gcs_server.conditions import Conditions


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(gcs_lock, "_BEAT_SECONDS", 0.05)
    monkeypatch.setattr(gcs_lock, "_LEASE_SECONDS", 1.0)
    monkeypatch.setattr(gcs_lock, "_MARGIN_SECONDS", 0.3)


@pytest.fixture
def lock(gcs):
    held = []

    def lock(place):
        one = gcs_lock.GcsLock(gcs.path("locks/a"), gcs.path("a"), place)
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


def test_a_lock_that_is_renewed_is_refused_to_another_machine(lock, monkeypatch):
    # It is refused when it is seen renewed; a busy machine may take its time over that.
    monkeypatch.setattr(gcs_lock, "_LEASE_SECONDS", 100.0)
    lock("here").acquire(silent)
    said = []
    with pytest.raises(OrchardError, match="is being written by another process"):
        lock("elsewhere").acquire(said.append)
    assert "waiting up to 100 s to see whether it is alive" in said[0]


def test_a_released_lock_is_free_at_once(gcs, lock):
    first = lock("here")
    first.acquire(silent)
    first.release()
    assert gcs.objects() == {}
    lock("elsewhere").acquire(pytest.fail)


def test_a_dead_holders_lock_is_free_at_once_on_its_own_machine(lock):
    first = lock("here")
    first.acquire(silent)
    dies(first)
    lock("here").acquire(pytest.fail)


def test_a_dead_holders_lock_is_free_elsewhere_after_a_lease(lock):
    first = lock("here")
    first.acquire(silent)
    dies(first)
    second = lock("elsewhere")
    second.acquire(silent)
    second.check()
    assert second._thread.is_alive()


def test_a_holder_that_lost_its_lock_may_publish_nothing(lock):
    first = lock("here")
    first.acquire(silent)
    dies(first)
    lock("elsewhere").acquire(silent)
    first._stop.clear()  # It was only suspended, and wakes up.
    with pytest.raises(OrchardError, match="another process has taken over the writing"):
        first.check()
    with pytest.raises(OrchardError, match="taken over"):
        first.raise_if_lost()


def test_a_holder_that_cannot_renew_stops_before_others_may_take_over(gcs, lock):
    first = lock("here")
    first.acquire(silent)
    gcs.set_conditions(Conditions(deny_status=403))
    deadline = time.monotonic() + 100
    with pytest.raises(OrchardError, match="the lock could not be renewed"):
        while time.monotonic() < deadline:
            first.raise_if_lost()
            time.sleep(0.01)


def test_releasing_a_lost_lock_leaves_the_new_holders(gcs, lock):
    first = lock("here")
    first.acquire(silent)
    dies(first)
    second = lock("elsewhere")
    second.acquire(silent)
    first.release()
    assert json.loads(gcs.read("locks/a"))["place"] == "elsewhere"


def test_of_two_that_wait_for_a_dead_holder_one_gets_the_lock(lock):
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


def test_an_object_that_is_no_lock_is_waited_for_like_a_dead_holders(gcs, lock):
    client.write_bytes(gcs.path("locks/a"), b"not JSON")
    said = []
    lock("here").acquire(said.append)
    assert len(said) == 1
