"""One training a run directory: a second one would mix its checkpoints with the first one's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchard import storage

_LOCK_FILE = ".lock"


@contextmanager
def run_lock(run_dir: str, chief: bool = True) -> Iterator[Callable[[], None]]:
    """Keep other trainings out of a run directory while the block runs; see `storage.lock`.

    Of several workers the chief alone holds the lock: it alone writes.

    Yields:
        A check to make before anything is written: an OrchardError where the lock was lost, which
        happens to one on gs:// that could not be renewed.

    Raises:
        OrchardError: another process holds it.
    """
    if not chief:
        yield storage.Lock().raise_if_lost
        return
    path = storage.join(run_dir, _LOCK_FILE)
    with storage.lock(path, run_dir, "choose another --run_dir") as lock:
        yield lock.raise_if_lost
