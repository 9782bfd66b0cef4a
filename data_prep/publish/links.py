"""A shard of an older version that becomes one of a new version: a link, or a copy."""

import os

import google_crc32c

from data_prep.base import ANEW
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import ShardInfo

_CHUNK_BYTES = 1 << 20


def take_over_file(source: str, target: str, info: ShardInfo) -> None:
    """Make the local file `target` one with the content of a shard.

    A hard link where the file system has them; it is unread, so that its bytes are as good as the
    older version's. What is copied is checked. What is there already stays.

    Args:
        source: the shard, local or remote.
        target: the new file.
        info: what the older version's manifest says of the shard.

    Raises:
        OrchardError: the shard is missing or not what `info` says.
    """
    check_source(source, info)
    if not storage.is_remote(source) and _link(os.path.realpath(source), target):
        return
    if storage.size_and_crc32c(target) != (info.num_bytes, info.crc32c):
        _copy(source, target, info)


def check_source(source: str, info: ShardInfo) -> None:
    """Refuse a shard of another size, or, where the storage knows it, of another checksum.

    Raises:
        OrchardError: it is missing or not what `info` says.
    """
    found = storage.stat(source)
    if (
        found is None
        or found.num_bytes != info.num_bytes
        or found.crc32c not in (None, info.crc32c)
    ):
        raise _not_as_described(source)


def _link(source: str, target: str) -> bool:
    """Whether `target` is the same file now: not on another disk, nor in someone else's name."""
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        if os.path.lexists(target) and os.path.samefile(source, target):
            return True
        storage.remove_tree(temporary)
        os.link(source, temporary)
        os.replace(temporary, target)
    except OSError:
        return False
    return True


def _copy(source: str, target: str, info: ShardInfo) -> None:
    num_bytes, crc = 0, 0
    with storage.reading(source) as shard, storage.writing(target) as copy:
        while chunk := shard.read(_CHUNK_BYTES):
            num_bytes, crc = num_bytes + len(chunk), google_crc32c.extend(crc, chunk)
            copy.write(chunk)
        if (num_bytes, crc) != (info.num_bytes, info.crc32c):
            raise _not_as_described(source)


def _not_as_described(source: str) -> OrchardError:
    return OrchardError(
        f"{source} is missing or is not what its manifest says; check that version with "
        f"data_prep.verify, or {ANEW}"
    )
