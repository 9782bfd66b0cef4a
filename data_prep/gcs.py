"""Google Cloud Storage: whole objects, checksummed both ways, retried, refusals explained.

`storage.py` is what the other modules use; this one is for what only objects have: generations (the
service's version numbers, the one way to keep two writers apart) and metadata.
"""

import base64
import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

import google_crc32c

from data_prep.errors import OrchardError
from data_prep.gcs_errors import explain

PREFIX = "gs://"
ABSENT = 0  # As a generation to match: "there must be no such object".
# Truncated exponential back-off with jitter, as the service asks for:
# https://cloud.google.com/storage/docs/retry-strategy
_FIRST_DELAY_SECONDS = 0.25
_MAX_DELAY_SECONDS = 32.0
_DEADLINE_SECONDS = 300.0
_CONNECT_AND_READ_SECONDS = (10, 120)
# Checksums that disagree: the transfer is repeated this often before it is an error.
_TRANSFERS = 6
# A chunk is held in memory by the client and sent again as a whole after a fault.
_CHUNK_BYTES = 32 << 20
_clients_lock = threading.Lock()

Result = TypeVar("Result")


@dataclass(frozen=True)
class ObjectInfo:
    """An object as the service describes it; `crc32c` is of its whole content."""

    path: str
    num_bytes: int
    crc32c: int
    generation: int
    metadata: dict[str, str] = field(default_factory=dict)


class GenerationConflict(OrchardError):
    """Not the object (or the absence) that the caller had seen: another writer was here."""


def split_path(path: str) -> tuple[str, str]:
    """Bucket and object name of a `gs://` path."""
    bucket, _, name = path[len(PREFIX) :].partition("/")
    if not bucket:
        raise OrchardError(f"{path} names no bucket; write gs://BUCKET/PATH")
    return bucket, name


def stat(path: str) -> ObjectInfo | None:
    """The live object at `path`, None if there is none."""
    with _explained(path, "storage.objects.get"):
        bucket, name = split_path(path)
        blob = _bucket(bucket).get_blob(name, **_patience()) if name else None
        return blob and _info(blob)


def list_objects(prefix: str) -> dict[str, ObjectInfo]:
    """Every object whose path starts with `prefix`, by what follows it; in order of their names."""
    with _explained(prefix, "storage.objects.list"):
        bucket, start = split_path(prefix)
        blobs = _bucket(bucket).list_blobs(prefix=start, **_patience())
        return {blob.name[len(start) :]: _info(blob) for blob in blobs}


def list_names(directory: str) -> list[str]:
    """The direct children of a `gs://` directory: objects and prefixes, sorted."""
    with _explained(directory, "storage.objects.list"):
        bucket, name = split_path(directory)
        start = name.rstrip("/") + "/" if name else ""
        pages = _bucket(bucket).list_blobs(prefix=start, delimiter="/", **_patience())
        names = [blob.name[len(start) :] for blob in pages]
        return sorted(
            [name for name in names if name] + [p[len(start) : -1] for p in pages.prefixes]
        )


def exists(path: str) -> bool:
    """Whether there is such an object, or any below it."""
    with _explained(path, "storage.objects.list"):
        bucket, name = split_path(path)
        name = name.rstrip("/")
        # One request for both questions: an object sorts before the objects below it.
        start = {"prefix": name, "start_offset": name} if name else {}
        blobs = _bucket(bucket).list_blobs(max_results=1, **start, **_patience())
        found = next(iter(blobs), None)
        if found is None or not name or found.name == name or found.name.startswith(name + "/"):
            return found is not None
        below = _bucket(bucket).list_blobs(max_results=1, prefix=name + "/", **_patience())
        return next(iter(below), None) is not None


def read_bytes(path: str) -> bytes:
    """An object's content, checked against its crc32c."""
    bucket, name = split_path(path)

    def download() -> bytes:
        return _bucket(bucket).blob(name).download_as_bytes(checksum="crc32c", **_patience())

    with _explained(path, "storage.objects.get"):
        return _until_intact(download)


def download(path: str, file: BinaryIO) -> None:
    """Write an object's content to `file` (from its start on), checked against its crc32c."""
    bucket, name = split_path(path)

    def download() -> None:
        file.seek(0)
        file.truncate()
        _bucket(bucket).blob(name).download_to_file(file, checksum="crc32c", **_patience())

    with _explained(path, "storage.objects.get"):
        _until_intact(download)
        file.seek(0)


def write_bytes(
    path: str,
    data: bytes,
    generation: int | None = None,
    metadata: dict[str, str] | None = None,
) -> ObjectInfo:
    """Create or replace an object with `data`; see `upload_file` for the rest."""
    expected = ObjectInfo(path, len(data), google_crc32c.value(data), 0, metadata or {})
    return _upload(expected, generation, lambda blob, how: blob.upload_from_string(data, **how))


def upload_file(
    local_path: str,
    path: str,
    crc32c: int,
    generation: int | None = None,
    metadata: dict[str, str] | None = None,
) -> ObjectInfo:
    """Create or replace an object with a local file's content; above 8 MiB by a resumable upload.

    Args:
      local_path: the file.
      path: the object.
      crc32c: the content's, as whoever made the file computed it: what ends up in the bucket has
        this checksum, or the upload fails.
      generation: the generation to replace, `ABSENT` for a new object, None for whatever is there.
      metadata: the object's metadata.

    Raises:
      GenerationConflict: another object is there than the caller said.
      OrchardError: the service refuses, does not answer in time, or the file changed.
    """
    expected = ObjectInfo(path, os.path.getsize(local_path), crc32c, 0, metadata or {})
    return _upload(
        expected, generation, lambda blob, how: blob.upload_from_filename(local_path, **how)
    )


def delete(path: str, generation: int | None = None) -> None:
    """Delete an object; one that is gone already is fine.

    Raises:
      GenerationConflict: it is of another generation.
    """
    from google.api_core import exceptions

    bucket, name = split_path(path)
    with _explained(path, "storage.objects.delete"):
        try:
            _bucket(bucket).blob(name).delete(if_generation_match=generation, **_patience())
        except exceptions.NotFound:
            pass
        except exceptions.PreconditionFailed as error:
            raise GenerationConflict(f"{path} was replaced by another writer") from error


def _upload(expected: ObjectInfo, generation: int | None, send: Callable) -> ObjectInfo:
    from google.api_core import exceptions

    bucket, name = split_path(expected.path)
    how = {"if_generation_match": generation, "checksum": "crc32c", **_patience()}

    def upload() -> ObjectInfo:
        blob = _bucket(bucket).blob(name, chunk_size=_CHUNK_BYTES)
        blob.metadata = expected.metadata
        try:
            send(blob, how)
        except exceptions.PreconditionFailed as error:
            return _already_there(expected, error)
        return _checked(blob, expected)

    with _explained(expected.path, "storage.objects.create"):
        return _until_intact(upload)


def _already_there(expected: ObjectInfo, error: Exception) -> ObjectInfo:
    """What a precondition failed against, if it is what we were sending.

    An upload whose response was lost is sent again, and then finds itself.
    """
    found = stat(expected.path)
    if found is not None and _content(found) == _content(expected):
        return found
    raise GenerationConflict(f"{expected.path} was written by another writer meanwhile") from error


def _checked(blob: Any, expected: ObjectInfo) -> ObjectInfo:
    info = _info(blob)
    if _content(info) != _content(expected):
        # The client compared what it read with what arrived: the file is not what was written.
        blob.delete(if_generation_match=info.generation, **_patience())
        raise OrchardError(
            f"{expected.path}: the local file changed between its writing and its upload (crc32c "
            f"{info.crc32c:08x}, written with {expected.crc32c:08x}); check the local disk and run "
            "the command again"
        )
    return info


def _content(info: ObjectInfo) -> tuple:
    return info.num_bytes, info.crc32c, info.metadata


def _until_intact(transfer: Callable[[], Result]) -> Result:
    """Repeat a transfer whose content was corrupted on its way."""
    from google.api_core import exceptions
    from google.cloud.storage.exceptions import DataCorruption

    for attempt in range(_TRANSFERS):
        try:
            return transfer()
        except (DataCorruption, exceptions.BadRequest) as error:
            # The service answers 400 to content that does not match the checksum sent along.
            corrupted = isinstance(error, DataCorruption) or "CRC32C" in str(error)
            if not corrupted or attempt == _TRANSFERS - 1:
                raise
    raise AssertionError("unreachable")


def _info(blob: Any) -> ObjectInfo:
    return ObjectInfo(
        path=f"{PREFIX}{blob.bucket.name}/{blob.name}",
        num_bytes=int(blob.size),
        crc32c=int.from_bytes(base64.b64decode(blob.crc32c), "big"),
        generation=int(blob.generation),
        metadata=dict(blob.metadata or {}),
    )


def _patience() -> dict[str, Any]:
    """How long a request may take, and how it is retried."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_delay(initial=_FIRST_DELAY_SECONDS, maximum=_MAX_DELAY_SECONDS)
    return {
        "retry": retry.with_timeout(_DEADLINE_SECONDS),
        "timeout": _CONNECT_AND_READ_SECONDS,
    }


def _bucket(name: str) -> Any:
    with _clients_lock:
        client = _client(os.getpid(), os.environ.get("STORAGE_EMULATOR_HOST", ""))
    return client.bucket(name)


@functools.lru_cache(maxsize=1)
def _client(pid: int, emulator: str) -> Any:
    """The process's client; a process that was forked needs connections of its own."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    # Objects belong to buckets, which are named globally: no project is ever used.
    credentials = AnonymousCredentials() if emulator else None
    return storage.Client(project="none", credentials=credentials)


@contextmanager
def _explained(path: str, permission: str) -> Iterator[None]:
    """Turn what the client raises into one line on `path`; `permission`: what the call needs."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.cloud.storage.exceptions import DataCorruption

    try:
        yield
    except (api.GoogleAPIError, auth.GoogleAuthError, DataCorruption, OSError) as error:
        raise OrchardError(explain(path, permission, error)) from error
