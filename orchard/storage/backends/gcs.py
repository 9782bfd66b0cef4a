"""Google Cloud Storage as a storage; what only its objects have is in `orchard.storage.gcs`."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO

from orchard.storage import gcs
from orchard.storage.backend import STORAGES, FileInfo, Storage
from orchard.storage.gcs_errors import explain_tensorflow
from orchard.storage.gcs_lock import gcs_lock
from orchard.storage.locks import Lock


@STORAGES.register("gs")
class GcsStorage(Storage):
    """gs:// paths: objects appear whole, by one upload, and are checked against their crc32c."""

    is_writable = True
    tensorflow_reads = True

    def list_names(self, directory: str) -> list[str]:
        return gcs.list_names(directory)

    def stat(self, path: str) -> FileInfo | None:
        found = gcs.stat(path)
        return FileInfo(found.num_bytes, found.crc32c) if found else None

    def exists(self, path: str) -> bool:
        return gcs.exists(path)

    def list_files(self, directory: str) -> list[str]:
        # Some programs make objects such as `assets/` in place of directories.
        names = gcs.list_objects(directory.rstrip("/") + "/")
        return sorted(name for name in names if not name.endswith("/"))

    def read_bytes(self, path: str) -> bytes:
        return gcs.read_bytes(path)

    def read_range(
        self,
        path: str,
        start: int,
        num_bytes: int,
        is_intact: Callable[[bytes], bool] | None = None,
    ) -> bytes:
        return gcs.read_range(path, start, num_bytes, is_intact)

    def explain(self, error: Exception) -> str | None:
        return explain_tensorflow(error)

    def write_bytes(self, path: str, data: bytes, durable: bool = True) -> None:
        gcs.write_bytes(path, data)

    @contextmanager
    def writing(self, path: str, fingerprint: str = "") -> Iterator[IO[bytes]]:
        with tempfile.NamedTemporaryFile(prefix="orchard-") as file:
            yield file
            file.flush()
            gcs.upload_file(
                file.name,
                path,
                gcs.local_crc32c(file.name),
                metadata={gcs.FINGERPRINT_KEY: fingerprint},
            )

    def replace_tree(self, source_dir: str, path: str, last: str) -> None:
        gcs.upload_tree(source_dir, path.rstrip("/"), last)

    def remove_tree(self, path: str) -> None:
        gcs.remove_tree(path)

    def make_directory(self, path: str) -> None:
        """There are no directories to make."""

    def sync(self, path: str) -> None:
        """An object that is there is there to stay."""

    def lock(self, path: str, what: str, advice: str) -> AbstractContextManager[Lock]:
        return gcs_lock(path, what)
