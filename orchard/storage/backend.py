"""What a storage is: the class that every backend derives from, and the registry of them."""

import abc
import contextlib
import io
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, NoReturn

from orchard.errors import OrchardError
from orchard.parallel import in_parallel
from orchard.registry import Registry
from orchard.storage.locks import Lock

# Names in the registry for paths without a scheme, and for schemes that nobody registered.
LOCAL = ""
ANY_OTHER = "*"


@dataclass(frozen=True)
class FileInfo:
    """A file as its storage describes it.

    Attributes:
        num_bytes: its size.
        crc32c: of its content; None where it is not known without reading the file.
    """

    num_bytes: int
    crc32c: int | None


class Storage(abc.ABC):
    """The files of one scheme, such as gs://.

    Paths are given whole, with their scheme. A storage to read from implements the three abstract
    methods, and others where it can do better than the defaults. One to write to sets `is_writable`
    and implements the methods at the end as well.

    What a user can cause (no such file, no permission) is an `OrchardError` of one line that begins
    with the path, a missing file a `MissingObject`.

    Attributes:
        is_remote: whether every call is a request: slow, many at a time, and no file can grow.
        is_writable: whether it can be written to.
        tensorflow_reads: whether TensorFlow's own file system reads such paths.
    """

    is_remote = True
    is_writable = False
    tensorflow_reads = False

    @abc.abstractmethod
    def list_names(self, directory: str) -> list[str]:
        """Names of the direct children of a directory, sorted; empty where there is none."""

    @abc.abstractmethod
    def stat(self, path: str) -> FileInfo | None:
        """Size and, where known, checksum of a file; None where there is no such file."""

    @abc.abstractmethod
    def read_bytes(self, path: str) -> bytes:
        """The whole content of a file."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or a directory of that name."""
        return self.stat(path) is not None or bool(self.list_names(path))

    def list_files(self, directory: str) -> list[str]:
        """Paths, relative to a directory and with `/`, of all files in it and below, sorted."""
        found = []
        for name in self.list_names(directory):
            below = self.list_files(self.join(directory, name))
            found += [f"{name}/{file}" for file in below] or [name]
        return sorted(found)

    def read_range(
        self,
        path: str,
        start: int,
        num_bytes: int,
        is_intact: Callable[[bytes], bool] | None = None,
    ) -> bytes:
        """`num_bytes` of a file from byte `start` on; fewer where it ends before.

        Where a network can damage what it carries, what is not intact is read again a few times.
        """
        return self.read_bytes(path)[start : start + num_bytes]

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """A file to be read in pieces."""
        return contextlib.nullcontext(io.BytesIO(self.read_bytes(path)))

    @contextmanager
    def local_copy(self, path: str) -> Iterator[str]:
        """A local file or directory with the content of `path`, while the block runs."""
        with tempfile.TemporaryDirectory(prefix="orchard-") as folder:

            def download(name: str) -> None:
                target = os.path.join(folder, *name.split("/"))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                _write(target, self.read_bytes(self.join(path, name)))

            names = self.list_files(path)
            if names:
                in_parallel(download, names)
                yield folder
            else:
                copy = os.path.join(folder, posixpath.basename(path))
                _write(copy, self.read_bytes(path))
                yield copy

    def join(self, *parts: str) -> str:
        """Join the components of a path."""
        return posixpath.join(*parts)

    def parent(self, directory: str) -> str:
        """The directory that a directory is in."""
        return posixpath.dirname(directory.rstrip("/"))

    def normalize(self, path: str) -> str:
        """The same path in one spelling."""
        return path.rstrip("/")

    def explain(self, error: Exception) -> str | None:
        """One line for an error of another library that comes from this storage; else None."""
        return None

    # For writing; a storage that is only read from leaves these as they are.

    def check_writable(self, path: str) -> None:
        """Raise OrchardError if this storage is only read from."""
        if not self.is_writable:
            self._refuse_to_write(path)

    def write_bytes(self, path: str, data: bytes, durable: bool = True) -> None:
        """See `orchard.storage.write_bytes`."""
        self._refuse_to_write(path)

    def writing(self, path: str, fingerprint: str = "") -> AbstractContextManager[IO[bytes]]:
        """See `orchard.storage.writing`."""
        self._refuse_to_write(path)

    def replace_tree(self, source_dir: str, path: str, last: str) -> None:
        """See `orchard.storage.replace_tree`."""
        self._refuse_to_write(path)

    def remove_leftovers(self, path: str) -> None:
        """See `orchard.storage.remove_leftovers`."""
        del path  # Where a write is one request nothing is half written.

    def remove_tree(self, path: str) -> None:
        """See `orchard.storage.remove_tree`."""
        self._refuse_to_write(path)

    def make_directory(self, path: str) -> None:
        """See `orchard.storage.make_directory`."""
        self._refuse_to_write(path)

    def sync(self, path: str) -> None:
        """See `orchard.storage.sync`."""
        self._refuse_to_write(path)

    def lock(self, path: str, what: str, advice: str) -> AbstractContextManager[Lock]:
        """See `orchard.storage.lock`."""
        self._refuse_to_write(path)

    def _refuse_to_write(self, path: str) -> NoReturn:
        scheme = path.partition("://")[0]
        raise OrchardError(
            f"{path}: {scheme}:// is for reading only; write to a local folder or to "
            "gs://BUCKET/PATH"
        )


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


STORAGES: Registry[type[Storage]] = Registry("storage", package="orchard.storage.backends")
