"""The only module that knows local paths from gs://: read, write, list, checksum, remove.

Every function takes either kind of path. A write is atomic: local files appear by a rename, objects
by one upload. Failures that a user can cause (no such file, no permission) are `OrchardError`s in
one line. What only objects have is in `gcs.py`.
"""

import io
import json
import os
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import google_crc32c

from orchard.errors import OrchardError
from orchard.storage import gcs

_READ_CHUNK_BYTES = 1 << 22


# The key, in an object's metadata, of the fingerprint of the plan that it was written for.
FINGERPRINT_KEY = "orchard-fingerprint"


def is_gcs(path: str) -> bool:
    """Whether `path` names an object or a prefix on Google Cloud Storage.

    Raises:
      OrchardError: it begins like one; a local folder `gs:` is not what anyone means.
    """
    if path.startswith("gs:") and not path.startswith(gcs.PREFIX):
        raise OrchardError(f"{path}: two slashes are needed, gs://BUCKET/PATH")
    return path.startswith(gcs.PREFIX)


def join(*parts: str) -> str:
    """Join path components, with `/` on gs:// and the system's separator elsewhere."""
    return posixpath.join(*parts) if is_gcs(parts[0]) else os.path.join(*parts)


def exists(path: str) -> bool:
    """Whether a file, a directory, an object or a non-empty prefix of that name exists."""
    return gcs.exists(path) if is_gcs(path) else os.path.exists(path)


def list_names(directory: str) -> list[str]:
    """Names of the direct children of `directory`, sorted; empty when there is none."""
    if is_gcs(directory):
        return gcs.list_names(directory)
    with _told(directory):
        return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def read_bytes(path: str) -> bytes:
    """The whole content of a file or object."""
    if is_gcs(path):
        return gcs.read_bytes(path)
    with _told(path), open(path, "rb") as file:
        return file.read()


@contextmanager
def reading(path: str) -> Iterator[BinaryIO]:
    """The content of a file or object, to be read in pieces in the block."""
    if is_gcs(path):
        yield io.BytesIO(gcs.read_bytes(path))
        return
    with _told(path), open(path, "rb") as file:
        yield file


def read_range(
    path: str, start: int, num_bytes: int, is_intact: Callable[[bytes], bool] | None = None
) -> bytes:
    """`num_bytes` from byte `start` of a file or object; fewer where it ends before.

    What comes from gs:// and is not intact is read again a few times; what is returned may still
    be damaged, where it is damaged at rest.
    """
    if is_gcs(path):
        return gcs.read_range(path, start, num_bytes, is_intact)
    with _told(path), open(path, "rb") as file:
        file.seek(start)
        return file.read(num_bytes)


def read_ranges(
    ranges: Sequence[tuple[str, int, int]], is_intact: Callable[[bytes], bool] | None = None
) -> list[bytes]:
    """`read_range` of each (path, start, num_bytes), in order; those on gs:// at the same time."""
    if any(is_gcs(path) for path, _, _ in ranges):
        return gcs.in_parallel(lambda one: read_range(*one, is_intact), ranges)
    return [read_range(*one) for one in ranges]


def read_json(path: str) -> Any:
    """The value in a JSON file."""
    return parse_json(read_bytes(path), path)


def parse_json(text: str | bytes, path: str) -> Any:
    """The value of a JSON text that was read from `path`."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise OrchardError(
            f"{path} is not valid JSON ({error}); it was damaged or edited"
        ) from error


def write_bytes(path: str, data: bytes, only_if_absent: bool = False, durable: bool = True) -> None:
    """Write `data` to `path` atomically, making local parent directories.

    Args:
      path: destination.
      data: the whole content.
      only_if_absent: raise `OrchardError` instead of replacing what is there already.
      durable: wait for the local disk. Without it the file is atomic for everyone but a machine
        that crashes; `sync` makes up for it.
    """
    if is_gcs(path):
        gcs.write_bytes(path, data, gcs.ABSENT if only_if_absent else None)
        return
    with _told(path):
        if only_if_absent and os.path.exists(path):
            raise OrchardError(f"{path} exists already; nothing was written")
        with replacing(path, durable) as file:
            file.write(data)


def write_json(path: str, value: Any, only_if_absent: bool = False) -> None:
    """Write `value` as JSON with sorted keys, so that equal values are equal bytes."""
    write_bytes(path, json_bytes(value), only_if_absent)


def json_bytes(value: Any) -> bytes:
    """The canonical JSON text of `value`: sorted keys, two spaces, a newline at the end."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


@contextmanager
def replacing(path: str, durable: bool = True) -> Iterator[Any]:
    """A binary file that becomes the local `path` when the block ends well, whole.

    On the disk, too, if `durable`.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


@contextmanager
def writing(path: str, fingerprint: str = "") -> Iterator[Any]:
    """A binary file that becomes `path`, local or gs://, when the block ends well.

    A local one is not on the disk for good yet: `sync` it before anyone is told that it is. An
    object is written to a temporary local file first and uploaded whole, so that a writer that dies
    leaves nothing behind; its metadata holds the `fingerprint`.
    """
    if not is_gcs(path):
        with _told(path), replacing(path, durable=False) as file:
            yield file
        return
    with tempfile.NamedTemporaryFile(prefix="orchard-") as file:
        yield file
        file.flush()
        _, crc = size_and_crc32c(file.name)
        gcs.upload_file(file.name, path, crc, metadata={FINGERPRINT_KEY: fingerprint})


def sync(path: str) -> None:
    """Wait until a local file or directory is on the disk for good."""
    with _told(path):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def size_and_crc32c(path: str) -> tuple[int, int] | None:
    """Bytes and crc32c of a file's content (read now) or of an object (as the service keeps it).

    None when there is no such file or object.
    """
    if is_gcs(path):
        found = gcs.stat(path)
        return found and (found.num_bytes, found.crc32c)
    if not os.path.isfile(path):
        return None
    size, crc = 0, 0
    with _told(path), open(path, "rb") as file:
        while chunk := file.read(_READ_CHUNK_BYTES):
            size, crc = size + len(chunk), google_crc32c.extend(crc, chunk)
    return size, crc


def make_directory(path: str) -> None:
    """Make a local directory with its parents; gs:// has none to make."""
    if not is_gcs(path):
        with _told(path):
            os.makedirs(path, exist_ok=True)


def sizes_and_crc32cs(paths: Sequence[str]) -> list[tuple[int, int] | None]:
    """`size_and_crc32c` of each, in order; those on gs:// at the same time."""
    if any(map(is_gcs, paths)):
        return gcs.in_parallel(size_and_crc32c, paths)
    return list(map(size_and_crc32c, paths))


def replace_tree(source_dir: str, path: str, last: str) -> None:
    """Put a copy of a local directory at `path`, in place of what is there.

    Locally it appears by a rename. On gs:// `last` is its last object: the file without which a
    reader sees nothing, for instance `saved_model.pb`.
    """
    path = path.rstrip("/")
    if is_gcs(path):
        gcs.upload_tree(source_dir, path, last)
        return
    temporary = f"{path}.{os.getpid()}.tmp"
    with _told(path):
        try:
            shutil.copytree(source_dir, temporary)
            remove_tree(path)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def local_tree(path: str) -> Iterator[str]:
    """A local directory with the content of `path`: itself, or a copy for the length of the block.

    What is read from gs:// through this is compared with the service's checksums; TensorFlow's own
    reads are not.
    """
    if not is_gcs(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="orchard-") as directory:
        gcs.download_tree(path, directory)
        yield directory


def remove_tree(path: str) -> None:
    """Remove a directory, a prefix, a file or an object, with everything below; absent is fine."""
    if is_gcs(path):
        gcs.remove_tree(path)
        return
    with _told(path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.remove(path)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Turn what the file system refuses into one line that names the path."""
    try:
        yield
    except OSError as error:
        raise OrchardError(f"{path}: {error.strerror or error}") from error
