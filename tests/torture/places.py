"""Where a command writes: a folder, a small disk of its own, or a bucket."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.gcs_server import GcsServer
from tests.gcs_server.conditions import Conditions


class Place(Protocol):
    """An output directory that can be looked at and emptied."""

    path: str
    poll_seconds: float

    def look(self) -> object:
        """Its files, their sizes and times: equal as long as nothing happens."""

    def clear(self) -> None:
        """Make it empty."""


class Folder:
    """A local folder."""

    poll_seconds = 0.01

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def look(self) -> object:
        """Names, sizes and times."""
        return list(_files(self.path))

    def clear(self) -> None:
        """Remove what is in it, and the disk that a killed campaign left mounted on it."""
        while os.path.ismount(self.path):
            unmount(self.path)
        shutil.rmtree(self.path, ignore_errors=True)
        os.makedirs(self.path)

    def num_bytes(self) -> int:
        """Of all its files."""
        return sum(size for _, size, _ in _files(self.path))


def _files(path: str) -> Iterator[tuple[str, int, int]]:
    # It may be removed or renamed meanwhile.
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(entry.path)
                else:
                    found = entry.stat(follow_symlinks=False)
                    yield entry.path, found.st_size, found.st_mtime_ns


def unmount(path: str) -> None:
    """Detach the file system that is mounted on a folder, also where something uses it."""
    subprocess.run(["umount", "--lazy", path], check=True, capture_output=True)


class Disk:
    """A file system in memory, mounted on a folder; needs the right to mount.

    Args:
        path: the folder.
        size_bytes: how much it takes.
    """

    def __init__(self, path: str, size_bytes: int) -> None:
        self._path = path
        self._mount("-t", "tmpfs", "-o", f"size={size_bytes}", "torture", path)

    def grow(self) -> None:
        """Room enough for all."""
        self._mount("-o", "remount,size=1g", self._path)

    def set_writable(self, writable: bool) -> None:
        """Let nobody write, root included; or again everybody."""
        self._mount("-o", "remount,rw" if writable else "remount,ro", self._path)

    def close(self) -> None:
        """Unmount it: its files are gone."""
        unmount(self._path)

    @staticmethod
    def _mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)

    @classmethod
    def is_possible(cls, path: Path) -> bool:
        """Whether this process may mount."""
        try:
            cls(str(path), 1 << 20).close()
        except (OSError, subprocess.CalledProcessError):
            return False
        return True


class Bucket:
    """A prefix of the bucket of a server on loopback."""

    poll_seconds = 0.1  # Each look is a request.

    def __init__(self, server: GcsServer, prefix: str) -> None:
        self.server = server
        self.path = server.path(prefix)

    def look(self) -> object:
        """Names and generations."""
        return sorted((name, item["generation"]) for name, item in self.server.objects().items())

    def clear(self) -> None:
        """Delete all objects."""
        self.server.clear_objects()
        self.server.set_conditions(Conditions())
