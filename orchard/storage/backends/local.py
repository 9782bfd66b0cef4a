"""Files on this machine's file system, network disks included."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO

from orchard.errors import MissingObject, OrchardError
from orchard.storage.backend import LOCAL, STORAGES, FileInfo, Storage
from orchard.storage.locks import Lock, file_lock

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# What TensorFlow makes of these.
_TENSORFLOW_NO_ROOM = re.compile(
    rf"(\S+); ({'|'.join(re.escape(os.strerror(number)) for number in _NO_ROOM)})"
)
_MAKE_ROOM = (
    "make room there, or write to another disk (TMPDIR says where temporary files go), and run the "
    "same command again"
)

# What grows until it is renamed, by the process that writes it.
_TEMPORARY = re.compile(r"\.\d+\.tmp$")


@STORAGES.register(LOCAL)
class LocalStorage(Storage):
    """Paths without a scheme; a file or a tree appears, or is replaced, by one rename."""

    is_remote = False
    is_writable = True
    tensorflow_reads = True

    def list_names(self, directory: str) -> list[str]:
        with _translate_errors(directory):
            return sorted(os.listdir(directory)) if os.path.isdir(directory) else []

    def stat(self, path: str) -> FileInfo | None:
        with _translate_errors(path):
            return FileInfo(os.path.getsize(path), None) if os.path.isfile(path) else None

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def list_files(self, directory: str) -> list[str]:
        """Paths, relative to a directory and with `/`, of all files in it and below, sorted."""

        def refuse(error: OSError) -> None:
            raise error

        with _translate_errors(directory):
            return sorted(
                os.path.relpath(os.path.join(folder, name), directory).replace(os.sep, "/")
                for folder, _, names in os.walk(directory, onerror=refuse, followlinks=True)
                for name in names
            )

    def read_bytes(self, path: str) -> bytes:
        with self.open(path) as file:
            return file.read()

    def read_range(
        self,
        path: str,
        start: int,
        num_bytes: int,
        is_intact: Callable[[bytes], bool] | None = None,
    ) -> bytes:
        with self.open(path) as file:
            file.seek(start)
            return file.read(num_bytes)

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        with _translate_errors(path), open(path, "rb") as file:
            yield file

    @contextmanager
    def local_copy(self, path: str) -> Iterator[str]:
        """The path itself."""
        yield path

    def join(self, *parts: str) -> str:
        return os.path.join(*parts)

    def parent(self, directory: str) -> str:
        # For a link, this is the directory that its target is in.
        return os.path.join(directory, "..")

    def normalize(self, path: str) -> str:
        return os.path.normpath(path)

    def write_bytes(self, path: str, data: bytes, durable: bool = True) -> None:
        with _translate_errors(path), _replacing(path, durable) as file:
            file.write(data)

    @contextmanager
    def writing(self, path: str, fingerprint: str = "") -> Iterator[IO[bytes]]:
        with _translate_errors(path), _replacing(path, durable=False) as file:
            yield file

    def replace_tree(self, source_dir: str, path: str, last: str) -> None:
        path = path.rstrip("/")
        temporary = _temporary(path)
        with _translate_errors(path):
            # Of a killed process that had this number: in a container it is the same each time.
            self.remove_tree(temporary)
            try:
                os.makedirs(temporary)
                with _held(os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)):
                    _copy_tree(source_dir, temporary)
                    self.remove_tree(path)
                    os.replace(temporary, path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def remove_leftovers(self, path: str) -> None:
        folder, name = os.path.split(path.rstrip("/"))
        with contextlib.suppress(OSError):
            for found in os.listdir(folder or "."):
                if found.startswith(f"{name}.") and _TEMPORARY.fullmatch(found, len(name)):
                    _remove_abandoned(os.path.join(folder, found))
        for place, folders, files in os.walk(path):
            for found in filter(_TEMPORARY.search, (*folders, *files)):
                _remove_abandoned(os.path.join(place, found))

    def remove_tree(self, path: str) -> None:
        with _translate_errors(path):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.remove(path)

    def make_directory(self, path: str) -> None:
        with _translate_errors(path):
            os.makedirs(path, exist_ok=True)

    def explain(self, error: Exception) -> str | None:
        """A full, read-only or overdrawn disk, whoever writes to it."""
        if isinstance(error, OSError):
            if error.errno not in _NO_ROOM:
                return None
            # Python names no file where a write to an open one fails.
            place = error.filename or f"the disk of an output, or of {tempfile.gettempdir()}"
            return f"{place}: {os.strerror(error.errno)}; {_MAKE_ROOM}"
        if type(error).__module__.startswith("tensorflow."):
            if found := _TENSORFLOW_NO_ROOM.search(str(error)):
                return f"{found[1]}: {found[2]}; {_MAKE_ROOM}"
        return None

    def sync(self, path: str) -> None:
        with _translate_errors(path):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def lock(self, path: str, what: str, advice: str) -> AbstractContextManager[Lock]:
        return file_lock(path, what, advice)


def _copy_tree(source: str, target: str) -> None:
    """Copy a directory's content into one, with the modes of umask and parent, not the source's.

    Sources are temporary directories, which are closed to all others.
    """
    for name in os.listdir(source):
        path, copy = os.path.join(source, name), os.path.join(target, name)
        if os.path.isdir(path):
            os.makedirs(copy)
            _copy_tree(path, copy)
        else:
            shutil.copyfile(path, copy)


def _temporary(path: str) -> str:
    return f"{path}.{os.getpid()}.tmp"


@contextmanager
def _replacing(path: str, durable: bool) -> Iterator[IO[bytes]]:
    """A file that becomes `path` when the block ends well."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = _temporary(path)
    try:
        with contextlib.ExitStack() as stack:
            with open(temporary, "wb") as file:
                # Until it is renamed: some disks refuse what does not fit only as it is closed.
                stack.enter_context(_held(os.dup(file.fileno())))
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        if durable:
            _sync_directory(os.path.dirname(path) or ".")
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def _sync_directory(path: str) -> None:
    """Wait until the disk knows the names in a directory."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # Some network disks do not sync directories.
            os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _held(handle: int) -> Iterator[None]:
    """Keep a lock on a file or directory that grows, by which others see that someone writes it."""
    try:
        with contextlib.suppress(OSError):  # Not every file system has locks.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _remove_abandoned(path: str) -> None:
    """Remove what nobody writes any more; what cannot be told stays."""
    with contextlib.suppress(OSError):
        # Network disks lock only what is open for writing.
        mode = os.O_RDONLY if os.path.isdir(path) else os.O_RDWR
        handle = os.open(path, mode | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if mode == os.O_RDONLY:
                shutil.rmtree(path)
            else:
                os.remove(path)
        finally:
            os.close(handle)


@contextmanager
def _translate_errors(path: str) -> Iterator[None]:
    """Turn what the file system refuses into one line that names the path."""
    try:
        yield
    except OSError as error:
        kind = MissingObject if isinstance(error, FileNotFoundError) else OrchardError
        raise kind(f"{path}: {error.strerror or error}") from error
