"""A lock on this machine's file system that dies with its holder, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from orchard.errors import OrchardError


@contextmanager
def file_lock(path: str, what: str, advice: str) -> Iterator[None]:
    """Hold the lock file at `path` while the block runs; the file itself stays.

    Args:
      path: of the lock file, made with its folder.
      what: what is locked, for messages.
      advice: what to do where the file cannot be made, for messages.

    Raises:
      OrchardError: another process holds it, or the file cannot be made.
    """
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OrchardError(f"{error.filename}: {error.strerror}; {advice}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 100).decode(errors="replace").strip()
            raise OrchardError(
                f"{what} is being written by another process ({holder}); wait for it or stop it"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"pid {os.getpid()} on {os.uname().nodename}".encode(), 0)
        yield
    finally:
        os.close(handle)
