"""Every other scheme (s3://, az://, hf://, ...) through the library fsspec, for reading only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from orchard.errors import MissingObject, OrchardError
from orchard.storage.backend import ANY_OTHER, STORAGES, FileInfo, Storage

# How often a damaged range is read, before it is taken for damaged at rest.
_TRANSFERS = 3
_MAX_DETAIL_CHARACTERS = 300


@STORAGES.register(ANY_OTHER)
class FsspecStorage(Storage):
    """URLs that fsspec reads, with the package that it names for their scheme."""

    def list_names(self, directory: str) -> list[str]:
        with _file_system(directory) as (files, path):
            try:
                found = [str(entry["name"]).strip("/") for entry in files.ls(path, detail=True)]
            except (FileNotFoundError, NotADirectoryError):
                return []
            # A file is listed as its own child.
            return sorted(name.rpartition("/")[2] for name in found if name != path.strip("/"))

    def stat(self, path: str) -> FileInfo | None:
        with _file_system(path) as (files, inner):
            try:
                info = files.info(inner)
            except FileNotFoundError:
                return None
            if info["type"] != "file":
                return None
            size = info.get("size")
            return FileInfo(len(files.cat_file(inner)) if size is None else int(size), None)

    def exists(self, path: str) -> bool:
        with _file_system(path) as (files, inner):
            try:
                return bool(files.info(inner))
            except FileNotFoundError:
                return False

    def list_files(self, directory: str) -> list[str]:
        with _file_system(directory) as (files, path):
            start = path.strip("/") + "/"
            names = [str(name).lstrip("/") for name in files.find(path)]
            # A file is found below itself.
            return sorted(name.removeprefix(start) for name in names if name.startswith(start))

    def read_bytes(self, path: str) -> bytes:
        with _file_system(path) as (files, inner):
            return files.cat_file(inner)

    def read_range(
        self,
        path: str,
        start: int,
        num_bytes: int,
        is_intact: Callable[[bytes], bool] | None = None,
    ) -> bytes:
        with _file_system(path) as (files, inner):
            for _ in range(_TRANSFERS):
                data = files.cat_file(inner, start, start + num_bytes)
                if is_intact is None or is_intact(data):
                    break
            return data


@contextmanager
def _file_system(url: str) -> Iterator[tuple[Any, str]]:
    """Fsspec's file system for a URL and the path in it; what fails in the block is one line."""
    scheme = url.partition("://")[0]
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise OrchardError(
            f"{url}: {scheme}:// is read through the package fsspec, which is not installed; run, "
            "where Orchard's setup.py is: pip install -e '.[fsspec]'"
        ) from error
    try:
        files, path = url_to_fs(url)
    except ImportError as error:
        raise OrchardError(f"{url}: {scheme}:// needs one more package: {_line(error)}") from error
    except ValueError as error:
        raise OrchardError(
            f"{url}: {_line(error)}; give a local path, gs://BUCKET/PATH, or a URL that "
            "the package fsspec reads, such as s3://BUCKET/PATH"
        ) from error
    try:
        yield files, path
    except OrchardError:
        raise
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MissingObject(f"{url}: no such file") from error
    except Exception as error:  # Every service's package has exceptions of its own.
        raise OrchardError(f"{url}: {type(error).__name__}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:_MAX_DETAIL_CHARACTERS]
