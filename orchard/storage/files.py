"""Functions on paths of any kind: each asks the storage that the path's scheme names."""

import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any, NamedTuple

import google_crc32c

from orchard import json_text
from orchard.errors import OrchardError
from orchard.parallel import in_parallel
from orchard.storage.backend import ANY_OTHER, LOCAL, STORAGES, FileInfo, Storage
from orchard.storage.locks import Lock

# In a folder that one process at a time writes to.
LOCK_FILE = ".lock"

_READ_CHUNK_BYTES = 1 << 22
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?")


class SizeAndCrc32c(NamedTuple):
    """Size and checksum of a file's content."""

    num_bytes: int
    crc32c: int


def _scheme(path: str) -> str:
    found = _SCHEME.match(path)
    if not found:
        return LOCAL
    scheme, slashes = found.groups()
    if slashes:
        return scheme if scheme in STORAGES else ANY_OTHER
    if scheme in STORAGES:
        # A local folder `gs:` is not what anyone means.
        raise OrchardError(f"{path}: two slashes are needed, {scheme}://BUCKET/PATH")
    return LOCAL


@functools.cache
def _storage_of_scheme(scheme: str) -> Storage:
    return STORAGES[scheme]()


def _storage(path: str) -> Storage:
    return _storage_of_scheme(_scheme(path))


def is_gcs(path: str) -> bool:
    """Whether `path` is on Google Cloud Storage: for what no other storage has, or needs."""
    return _scheme(path) == "gs"


def is_remote(path: str) -> bool:
    """Whether each use of `path` is a request: slow, many at a time, and no file can grow."""
    return _storage(path).is_remote


def tensorflow_reads(path: str) -> bool:
    """Whether TensorFlow itself can read `path`."""
    return _storage(path).tensorflow_reads


def check_writable(path: str) -> None:
    """Raise OrchardError if `path` is where Orchard only reads; before anything is computed."""
    _storage(path).check_writable(path)


def explain(error: Exception) -> str | None:
    """One line for another library's error that comes from a storage; None for other errors."""
    lines = (_storage_of_scheme(scheme).explain(error) for scheme in STORAGES)
    return next(filter(None, lines), None)


def join(*parts: str) -> str:
    """Join path components, with `/` on remote paths and the system's separator elsewhere."""
    return _storage(parts[0]).join(*parts)


def parent(directory: str) -> str:
    """The directory that a directory is in."""
    return _storage(directory).parent(directory)


def normalize(path: str) -> str:
    """The same path in one spelling, without a slash at its end."""
    return _storage(path).normalize(path)


def exists(path: str) -> bool:
    """Whether a file, a directory, an object or a non-empty prefix of that name exists."""
    return _storage(path).exists(path)


def stat(path: str) -> FileInfo | None:
    """Size and, where known, checksum of a file, without reading it; None where there is none."""
    return _storage(path).stat(path)


def list_names(directory: str) -> list[str]:
    """Names of the direct children of `directory`, sorted; empty when there is none."""
    return _storage(directory).list_names(directory)


def list_files(directory: str) -> list[str]:
    """Paths, relative to `directory` and with `/`, of all files in it and below, sorted."""
    return _storage(directory).list_files(directory)


def read_bytes(path: str) -> bytes:
    """The whole content of a file."""
    return _storage(path).read_bytes(path)


def reading(path: str) -> AbstractContextManager[IO[bytes]]:
    """A file to be read in pieces in the block."""
    return _storage(path).open(path)


def read_range(
    path: str, start: int, num_bytes: int, is_intact: Callable[[bytes], bool] | None = None
) -> bytes:
    """`num_bytes` of a file from byte `start` on; fewer where it ends before.

    What comes over a network and is not intact is read again a few times; what is returned may
    still be damaged, where it is damaged at rest.
    """
    return _storage(path).read_range(path, start, num_bytes, is_intact)


def read_ranges(
    ranges: Sequence[tuple[str, int, int]], is_intact: Callable[[bytes], bool] | None = None
) -> list[bytes]:
    """`read_range` of each (path, start, num_bytes), in order; remote ones at the same time."""
    if any(is_remote(path) for path, _, _ in ranges):
        return in_parallel(lambda one: read_range(*one, is_intact), ranges)
    return [read_range(*one) for one in ranges]


def size_and_crc32c(path: str) -> SizeAndCrc32c | None:
    """Size and crc32c of a file's content: read now, or as the storage keeps them.

    None where there is no such file.
    """
    info = stat(path)
    if info is None:
        return None
    if info.crc32c is not None:
        return SizeAndCrc32c(info.num_bytes, info.crc32c)
    size, crc = 0, 0
    with reading(path) as file:
        while chunk := file.read(_READ_CHUNK_BYTES):
            size, crc = size + len(chunk), google_crc32c.extend(crc, chunk)
    return SizeAndCrc32c(size, crc)


def sizes_and_crc32cs(paths: Sequence[str]) -> list[SizeAndCrc32c | None]:
    """`size_and_crc32c` of each, in order; remote ones at the same time."""
    if any(map(is_remote, paths)):
        return in_parallel(size_and_crc32c, paths)
    return list(map(size_and_crc32c, paths))


def local_copy(path: str) -> AbstractContextManager[str]:
    """A local file or directory with the content of `path`: itself, or a copy for the block.

    What is copied is checked against the storage's checksums, where it has any; TensorFlow's own
    reads are not.
    """
    return _storage(path).local_copy(path)


def read_json(path: str) -> Any:
    """The value in a JSON file."""
    return parse_json(read_bytes(path), path)


def parse_json(text: str | bytes, path: str) -> Any:
    """The value of a JSON text that was read from `path`."""
    try:
        return json_text.loads(text)
    except ValueError as error:
        raise OrchardError(
            f"{path} is not valid JSON ({error}); it was damaged or edited"
        ) from error


def write_bytes(path: str, data: bytes, durable: bool = True) -> None:
    """Write `data` to `path` atomically, making local parent directories.

    Args:
        path: destination.
        data: the whole content.
        durable: wait for the local disk. Without it a crash of the machine may lose the file or
            empty it, until `sync`.
    """
    _storage(path).write_bytes(path, data, durable=durable)


def write_json(path: str, value: Any) -> None:
    """Write `value` as JSON with sorted keys, so that equal values are equal bytes."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """The canonical JSON text of `value`: sorted keys, two spaces, a newline at the end."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def writing(path: str, fingerprint: str = "") -> AbstractContextManager[IO[bytes]]:
    """A binary file that becomes `path` when the block ends well.

    A local one needs `sync` before it survives a power cut. An object is written to a temporary
    local file first and uploaded whole, so that a writer that dies leaves nothing behind; its
    metadata holds the `fingerprint`.
    """
    return _storage(path).writing(path, fingerprint)


def replace_tree(source_dir: str, path: str, last: str) -> None:
    """Put a copy of a local directory at `path`, in place of what is there.

    Locally it appears by a rename. On gs:// `last` is its last object: the file without which a
    reader sees nothing, for instance `saved_model.pb`.
    """
    _storage(path).replace_tree(source_dir, path, last)


def remove_tree(path: str) -> None:
    """Remove a directory, a prefix, a file or an object, with everything below; absent is fine."""
    _storage(path).remove_tree(path)


def remove_leftovers(path: str) -> None:
    """Remove what killed processes had half written of a file, or of a directory and all in it.

    What a living process writes stays, and so does what cannot be told, on disks without locks.
    """
    _storage(path).remove_leftovers(path)


def make_directory(path: str) -> None:
    """Make a local directory with its parents; object stores have none to make."""
    _storage(path).make_directory(path)


def sync(path: str) -> None:
    """Wait until a local file or directory survives a power cut; what is remote does already."""
    _storage(path).sync(path)


def lock(path: str, what: str, advice: str) -> AbstractContextManager[Lock]:
    """Hold the lock at `path` while the block runs.

    A dead holder's lock is free at once on a file system, and on gs:// for the same machine; for
    other machines after 30 seconds without a sign of life. A lock on gs:// that cannot be renewed
    is lost: ask the yielded `Lock` before anything is published.

    Args:
        path: of the lock file or object; a local one stays there.
        what: what is locked, for messages.
        advice: what to do where the lock cannot be made, for messages.

    Raises:
        OrchardError: another process holds it, or it cannot be made.
    """
    return _storage(path).lock(path, what, advice)


@contextmanager
def lock_folder(folder: str, advice: str) -> Iterator[Lock]:
    """Keep other writers out of a folder while the block runs; see `lock`.

    What killed ones had half written in it is removed.

    Args:
        folder: local or remote; made where it is missing.
        advice: what to do where the lock cannot be made, for messages.

    Raises:
        OrchardError: another process holds the lock, or it cannot be made.
    """
    with lock(join(folder, LOCK_FILE), folder, advice) as held:
        remove_leftovers(folder)
        yield held
