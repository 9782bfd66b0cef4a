"""Google Cloud Storage: whole objects, checksummed both ways, retried, refusals explained.

Use `orchard.storage` for reading and writing files; this module is for what only objects have:
generations (the service's version numbers, by which two writers are kept apart) and metadata.
"""

import base64
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import google_crc32c

from orchard.errors import OrchardError
from orchard.parallel import in_parallel
from orchard.storage.gcs_client import TRANSFERS, bucket, explained, patience, until_intact

PREFIX = "gs://"
# The key, in an object's metadata, of the fingerprint of the plan that it was written for.
FINGERPRINT_KEY = "orchard-fingerprint"
# https://cloud.google.com/storage/docs/buckets#naming
_BUCKET = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
ABSENT = 0  # As a generation to match: "there must be no such object".
# The client keeps a chunk in memory, to send it again after a fault.
_CHUNK_BYTES = 32 << 20


@dataclass(frozen=True)
class ObjectInfo:
    """An object as the service describes it; `crc32c` is of its whole content."""

    path: str
    num_bytes: int
    crc32c: int
    generation: int
    metadata: dict[str, str] = field(default_factory=dict)


class GenerationConflict(OrchardError):
    """An object was written or removed by another writer since we looked at it."""


def split_path(path: str) -> tuple[str, str]:
    """Bucket and object name of a `gs://` path."""
    bucket, _, name = path[len(PREFIX) :].partition("/")
    if not bucket:
        raise OrchardError(f"{path} names no bucket; write gs://BUCKET/PATH")
    if not _BUCKET.fullmatch(bucket):
        raise OrchardError(
            f"{path}: {bucket!r} cannot be a bucket's name, which has lower-case letters, digits, "
            "-, _ and ., the first and last a letter or digit; write gs://BUCKET/PATH"
        )
    return bucket, name


def stat(path: str) -> ObjectInfo | None:
    """The live object at `path`, None if there is none."""
    with explained(path, "storage.objects.get"):
        bucket_name, name = split_path(path)
        blob = bucket(bucket_name).get_blob(name, **patience()) if name else None
        return blob and _info(blob)


def list_objects(prefix: str) -> dict[str, ObjectInfo]:
    """Every object whose path starts with `prefix`, by what follows it; in order of their names."""
    with explained(prefix, "storage.objects.list"):
        bucket_name, start = split_path(prefix)
        blobs = bucket(bucket_name).list_blobs(prefix=start, **patience())
        return {blob.name[len(start) :]: _info(blob) for blob in blobs}


def list_names(directory: str) -> list[str]:
    """The direct children of a `gs://` directory: objects and prefixes, sorted."""
    with explained(directory, "storage.objects.list"):
        bucket_name, name = split_path(directory)
        start = name.rstrip("/") + "/" if name else ""
        pages = bucket(bucket_name).list_blobs(prefix=start, delimiter="/", **patience())
        names = [blob.name[len(start) :] for blob in pages]
        return sorted(
            [name for name in names if name] + [p[len(start) : -1] for p in pages.prefixes]
        )


def exists(path: str) -> bool:
    """Whether there is such an object, or any below it."""
    with explained(path, "storage.objects.list"):
        bucket_name, name = split_path(path)
        name = name.rstrip("/")
        # One request for both questions: an object sorts before the objects below it.
        start = {"prefix": name, "start_offset": name} if name else {}
        blobs = bucket(bucket_name).list_blobs(max_results=1, **start, **patience())
        found = next(iter(blobs), None)
        if found is None or not name or found.name == name or found.name.startswith(name + "/"):
            return found is not None
        below = bucket(bucket_name).list_blobs(max_results=1, prefix=name + "/", **patience())
        return next(iter(below), None) is not None


def read_bytes(path: str) -> bytes:
    """An object's content, checked against its crc32c."""
    bucket_name, name = split_path(path)

    def download() -> bytes:
        return bucket(bucket_name).blob(name).download_as_bytes(checksum="crc32c", **patience())

    with explained(path, "storage.objects.get"):
        return until_intact(download)


def read_range(
    path: str, start: int, num_bytes: int, is_intact: Callable[[bytes], bool] | None = None
) -> bytes:
    """`num_bytes` of an object from byte `start` on; fewer where it ends before.

    The service has no checksum of a part of an object. If `is_intact` says that what arrived is not
    what was written, it is read again a few times.
    """
    bucket_name, name = split_path(path)
    span = {"start": start, "end": start + num_bytes - 1}
    with explained(path, "storage.objects.get"):
        for _ in range(TRANSFERS):
            data = bucket(bucket_name).blob(name).download_as_bytes(**span, **patience())
            if is_intact is None or is_intact(data):
                break
        return data


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
        crc32c: the content's, computed when the file was written: what ends up in the bucket has
            this checksum, or the upload fails.
        generation: the generation to replace, `ABSENT` for a new object, None for any or none.
        metadata: the object's metadata.

    Raises:
        GenerationConflict: the object there has another generation.
        OrchardError: the service refuses, does not answer in time, or the file changed.
    """
    expected = ObjectInfo(path, os.path.getsize(local_path), crc32c, 0, metadata or {})
    return _upload(
        expected, generation, lambda blob, how: blob.upload_from_filename(local_path, **how)
    )


def copy(
    source: str,
    path: str,
    crc32c: int,
    generation: int | None = None,
    metadata: dict[str, str] | None = None,
) -> ObjectInfo:
    """Have the service copy an object, whose bytes come nowhere near this machine.

    Args:
        source: the object to copy.
        path: the new object.
        crc32c: what the source's checksum must be.
        generation: as of `upload_file`, of the new object.
        metadata: of the new object.

    Raises:
        GenerationConflict: the object there has another generation.
        OrchardError: there is no such source, it has another content, or the service refuses.
    """
    from google.api_core import exceptions

    found = stat(source)
    if found is None or found.crc32c != crc32c:
        raise OrchardError(f"{source} was removed or replaced a moment ago; run the command again")
    expected = ObjectInfo(path, found.num_bytes, crc32c, 0, metadata or {})
    (from_bucket, from_name), (bucket_name, name) = split_path(source), split_path(path)
    from_blob = bucket(from_bucket).blob(from_name)
    blob = bucket(bucket_name).blob(name)
    blob.metadata = expected.metadata
    how = {
        "if_generation_match": generation,
        "if_source_generation_match": found.generation,
        **patience(),
    }
    with explained(path, "storage.objects.create"):
        try:
            # Between regions or classes of storage it takes several requests.
            token, _, _ = blob.rewrite(from_blob, **how)
            while token is not None:
                token, _, _ = blob.rewrite(from_blob, token=token, **how)
        except exceptions.PreconditionFailed as error:
            return _already_there(expected, error)
        return _info(blob)


def delete(path: str, generation: int | None = None) -> None:
    """Delete an object; one that is gone already is fine.

    Raises:
        GenerationConflict: it has another generation.
    """
    from google.api_core import exceptions

    bucket_name, name = split_path(path)
    with explained(path, "storage.objects.delete"):
        try:
            bucket(bucket_name).blob(name).delete(if_generation_match=generation, **patience())
        except exceptions.NotFound:
            pass
        except exceptions.PreconditionFailed as error:
            raise GenerationConflict(f"{path} was replaced by another writer") from error


def remove_tree(path: str) -> None:
    """Delete an object and everything below it; absent is fine."""
    path = path.rstrip("/")
    names = [name for name in list_objects(path) if not name or name.startswith("/")]
    in_parallel(lambda name: delete(path + name), names)


def upload_tree(source_dir: str, path: str, last: str) -> None:
    """Put a local directory's files below `path`, in place of what is there.

    Args:
        source_dir: the local directory.
        path: the prefix.
        last: the file that readers look for. It is deleted first and uploaded last, so that no
            reader finds half a tree.
    """
    delete(f"{path}/{last}")
    remove_tree(path)
    names = [
        os.path.relpath(os.path.join(root, file), source_dir)
        for root, _, files in os.walk(source_dir)
        for file in files
    ]

    def upload(name: str) -> None:
        local = os.path.join(source_dir, name)
        upload_file(local, f"{path}/{name.replace(os.sep, '/')}", local_crc32c(local))

    in_parallel(upload, [name for name in names if name != last])
    upload(last)


def local_crc32c(local_path: str) -> int:
    """The crc32c of a local file's content."""
    crc = 0
    with open(local_path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            crc = google_crc32c.extend(crc, chunk)
    return crc


def _upload(expected: ObjectInfo, generation: int | None, send: Callable) -> ObjectInfo:
    from google.api_core import exceptions

    bucket_name, name = split_path(expected.path)
    how = {"if_generation_match": generation, "checksum": "crc32c", **patience()}

    def upload() -> ObjectInfo:
        blob = bucket(bucket_name).blob(name, chunk_size=_CHUNK_BYTES)
        blob.metadata = expected.metadata
        try:
            send(blob, how)
        except exceptions.PreconditionFailed as error:
            return _already_there(expected, error)
        return _checked(blob, expected)

    with explained(expected.path, "storage.objects.create"):
        return until_intact(upload)


def _already_there(expected: ObjectInfo, error: Exception) -> ObjectInfo:
    """The object that is there, if it is the one that we were sending.

    An upload whose response was lost is sent again, and then fails because of itself.
    """
    found = stat(expected.path)
    if found is not None and _content(found) == _content(expected):
        return found
    raise GenerationConflict(f"{expected.path} was replaced by another writer") from error


def _checked(blob: Any, expected: ObjectInfo) -> ObjectInfo:
    info = _info(blob)
    if _content(info) != _content(expected):
        # What arrived is what the client read: the file changed after it was written.
        blob.delete(if_generation_match=info.generation, **patience())
        raise OrchardError(
            f"{expected.path}: the local file changed between its writing and its upload (crc32c "
            f"{info.crc32c:08x}, written with {expected.crc32c:08x}); check the local disk and run "
            "the command again"
        )
    return info


def _content(info: ObjectInfo) -> tuple:
    return info.num_bytes, info.crc32c, info.metadata


def _info(blob: Any) -> ObjectInfo:
    return ObjectInfo(
        path=f"{PREFIX}{blob.bucket.name}/{blob.name}",
        num_bytes=int(blob.size),
        crc32c=int.from_bytes(base64.b64decode(blob.crc32c), "big"),
        generation=int(blob.generation),
        metadata=dict(blob.metadata or {}),
    )
