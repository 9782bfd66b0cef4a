"""Reading and writing files, wherever they lie.

Every function takes a local path or a gs:// path. A write is atomic, what is read from a bucket is
checked, and what a user can cause (no such file, no permission) is an `OrchardError` of one line.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from orchard.storage import gcs
    from orchard.storage.files import (
        FINGERPRINT_KEY,
        exists,
        is_gcs,
        join,
        json_bytes,
        list_names,
        local_tree,
        make_directory,
        parse_json,
        read_bytes,
        read_json,
        read_range,
        read_ranges,
        reading,
        remove_tree,
        replace_tree,
        replacing,
        size_and_crc32c,
        sizes_and_crc32cs,
        sync,
        write_bytes,
        write_json,
        writing,
    )
    from orchard.storage.gcs_errors import explain_error
    from orchard.storage.gcs_lock import GcsLock
    from orchard.storage.lock_files import file_lock

__all__ = [
    "FINGERPRINT_KEY",
    "GcsLock",
    "exists",
    "file_lock",
    "explain_error",
    "gcs",
    "is_gcs",
    "join",
    "json_bytes",
    "list_names",
    "local_tree",
    "make_directory",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_range",
    "read_ranges",
    "reading",
    "remove_tree",
    "replace_tree",
    "replacing",
    "size_and_crc32c",
    "sizes_and_crc32cs",
    "sync",
    "write_bytes",
    "write_json",
    "writing",
]

__getattr__, __dir__ = attach(__name__)
