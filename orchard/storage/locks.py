"""Locks that keep a second writer out, and die with their holder however it ends."""

import errno
import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from orchard.errors import OrchardError

# What a file system answers that has no locks, such as Lustre mounted without `flock`.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Lock:
    """A lock that is held. This one, on a local file, cannot be lost."""

    def check(self) -> None:
        """Make sure that the lock is still held.

        Raises:
            OrchardError: it was lost; nothing may be written any more.
        """

    def raise_if_lost(self) -> None:
        """The same, without a request where the answer is known well enough."""


@contextmanager
def file_lock(path: str, what: str, advice: str) -> Iterator[Lock]:
    """Hold the lock file at a local `path` while the block runs; the file itself stays.

    Where the file system has no locks, a lock file in the temporary folder keeps out the processes
    of this machine alone; a line on stderr says so.

    Args:
        path: of the lock file, made with its folder.
        what: what is locked, for messages.
        advice: what to do where the file cannot be made, for messages.

    Raises:
        OrchardError: another process holds it, or the file cannot be made.
    """
    handle = _open(path, what, advice)
    if handle is None:
        handle = _open(f"{scratch_path(os.path.abspath(path))}.lock", what, advice)
        if handle is None:
            raise OrchardError(
                f"{path}: there are no file locks on its file system, nor in the temporary folder; "
                f"{advice}"
            )
        print(
            f"{what}: its file system has no file locks; only writers on this machine are kept out",
            file=sys.stderr,
        )
    try:
        yield Lock()
    finally:
        os.close(handle)


def scratch_path(path: str) -> str:
    """A local path that belongs to `path` in every run of this user, for its temporary files.

    Raises:
        OrchardError: the temporary folder cannot be written to.
    """
    folder = os.path.join(tempfile.gettempdir(), f"orchard-{os.getuid()}")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise OrchardError(
            f"{folder}: {error.strerror}; set TMPDIR to a folder on a disk with room"
        ) from error
    return os.path.join(folder, hashlib.sha256(path.encode()).hexdigest()[:16])


def _open(path: str, what: str, advice: str) -> int | None:
    """The locked file; None where its file system has no locks."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OrchardError(f"{error.filename}: {error.strerror}; {advice}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"pid {os.getpid()} on {os.uname().nodename}".encode(), 0)
        return handle
    except OSError as error:
        holder = os.read(handle, 100).decode(errors="replace").strip()
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise OrchardError(
                f"{what} is being written by another process ({holder}); wait for it or stop it"
            ) from None
        if error.errno in _NO_LOCKS:
            return None
        raise OrchardError(f"{path}: {error.strerror}; {advice}") from error
