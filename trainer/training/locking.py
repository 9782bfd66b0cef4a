"""One training a run directory: a second one would mix its checkpoints with the first one's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import RunDir, is_part


@contextmanager
def run_lock(run_dir: str, chief: bool = True) -> Iterator[Callable[[], None]]:
    """Keep other trainings out of a run directory while the block runs; see `storage.lock_folder`.

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
    with storage.lock_folder(run_dir, "choose another --run_dir") as lock:
        yield lock.raise_if_lost


def check_layout(run_dir: str, all_folds: bool) -> None:
    """Refuse several trainings where a single one is, and the reverse.

    Both would be accepted, and whoever reads the directory, such as --members, sees only one.

    Args:
        run_dir: where a training, or one of each fold, is about to begin or to go on.
        all_folds: whether it is one of each fold, or refits.
    """
    folder = RunDir(run_dir)
    if all_folds and storage.exists(folder.network_file):
        raise OrchardError(
            f"--fold=all and --refit: {run_dir} holds a single training; choose another --run_dir"
        )
    parts = [name for name in _names(run_dir) if is_part(name)]
    if not all_folds and parts:
        raise OrchardError(
            f"{run_dir} holds the trainings of --fold=all or --refit; choose another --run_dir, or "
            f"one of them: --run_dir={storage.join(run_dir, min(parts))}"
        )


def _names(run_dir: str) -> list[str]:
    return storage.list_names(run_dir) if storage.exists(run_dir) else []
