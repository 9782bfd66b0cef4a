"""One training a run directory: a second one would mix its checkpoints with the first one's."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchard import storage
from orchard.storage import GcsLock, file_lock

_LOCK_FILE = ".lock"
# Whoever ends a process does not wait for a network that may be why: the lock runs out by itself.
_RELEASE_SECONDS = 5.0


@contextmanager
def run_lock(run_dir: str, chief: bool = True) -> Iterator[Callable[[], None]]:
    """Keep other trainings out of a run directory, local or gs://, while the block runs.

    Of several workers the chief alone holds the lock: it alone writes. A dead holder's lock is
    free at once on a file system, on gs:// after 30 seconds without a sign of life.

    Yields:
        A check to make before anything is written: an OrchardError where the lock was lost, which
        happens to one on gs:// that could not be renewed.

    Raises:
        OrchardError: another process holds it.
    """
    path = storage.join(run_dir, _LOCK_FILE)
    if not chief:
        yield _never_lost
    elif storage.is_gcs(run_dir):
        lock = GcsLock(path, run_dir, place=uuid.uuid4().hex)
        lock.acquire(print)
        try:
            yield lock.raise_if_lost
        finally:
            lock.release(_RELEASE_SECONDS)
    else:
        with file_lock(path, run_dir, "choose another --run_dir"):
            yield _never_lost


def _never_lost() -> None:
    pass
