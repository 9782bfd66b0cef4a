"""Reading and writing files, wherever they are: local, on gs://, or (to read) any fsspec URL.

The functions here take any path and ask the storage of its scheme. A write is atomic, what is read
from gs:// is checked, and what a user can cause (no such file, no permission) is an `OrchardError`
of one line. Start reading at `backend.py`: `Storage` is what a storage can do. The ones that come
with us are in `backends/`; to add one, derive from `Storage` and register it in `STORAGES`.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from orchard.storage import gcs
    from orchard.storage.backend import STORAGES, FileInfo, Storage
    from orchard.storage.files import (
        LOCK_FILE,
        SizeAndCrc32c,
        check_writable,
        exists,
        explain,
        is_gcs,
        is_remote,
        join,
        json_bytes,
        list_files,
        list_names,
        local_copy,
        lock,
        lock_folder,
        make_directory,
        normalize,
        parent,
        parse_json,
        read_bytes,
        read_json,
        read_range,
        read_ranges,
        reading,
        remove_leftovers,
        remove_tree,
        replace_tree,
        size_and_crc32c,
        sizes_and_crc32cs,
        stat,
        sync,
        tensorflow_reads,
        write_bytes,
        write_json,
        writing,
    )
    from orchard.storage.locks import Lock, scratch_path

__all__ = [
    "LOCK_FILE",
    "STORAGES",
    "FileInfo",
    "Lock",
    "SizeAndCrc32c",
    "Storage",
    "check_writable",
    "exists",
    "explain",
    "gcs",
    "is_gcs",
    "is_remote",
    "join",
    "json_bytes",
    "list_files",
    "list_names",
    "local_copy",
    "lock",
    "lock_folder",
    "make_directory",
    "normalize",
    "parent",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_range",
    "read_ranges",
    "reading",
    "remove_leftovers",
    "remove_tree",
    "replace_tree",
    "scratch_path",
    "size_and_crc32c",
    "sizes_and_crc32cs",
    "stat",
    "sync",
    "tensorflow_reads",
    "write_bytes",
    "write_json",
    "writing",
]

__getattr__, __dir__ = attach(__name__)
