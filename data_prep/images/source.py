"""Reads images out of the images folder, and out of nothing else."""

import functools
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from orchard import storage
from orchard.errors import MissingObject, OrchardError
from orchard.parallel import in_parallel

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
# What other programs leave in folders of photos, beside all that begins with a dot.
_LITTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
_READ_AHEAD = 32  # images: the memory that they take is a worker's


class ImageFile(NamedTuple):
    """The content of a file, and when it was modified, in ns since 1970 (0 where it is remote)."""

    data: bytes
    mtime_ns: int


class SourceProblem(Exception):
    """An image that cannot be read; `kind` and `detail` as in `labels.Problem`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind, self.detail = kind, detail


def is_image_name(name: str, extension: str) -> bool:
    """Whether a file is an image by its name: with a usual ending, or with `extension`."""
    endings = (*EXTENSIONS, extension.lower()) if extension else EXTENSIONS
    return name.lower().endswith(endings)


def without_ending(name: str) -> str:
    """A name without the usual ending of an image file, if it has one."""
    ending = next((one for one in EXTENSIONS if name.lower().endswith(one)), "")
    return name[: len(name) - len(ending)]


def is_litter(path: str) -> bool:
    """Whether a file or folder is none of the user's: hidden, or left there by other programs.

    Args:
        path: within a folder of images; a part of it decides for what is below.
    """
    return any(part.startswith(".") or part.lower() in _LITTER for part in path.split("/"))


def file_name(image_id: str, extension: str) -> str:
    """The file of an id: the id itself when it ends like an image file, else with `extension`."""
    return image_id if is_image_name(image_id, extension) else image_id + extension


@functools.lru_cache(maxsize=4)
def image_source(root: str, follow_symlinks: bool = False) -> "ImageSource":
    """The source of a folder, one a process: it remembers which folders it found safe."""
    return ImageSource(root, follow_symlinks)


class ImageSource:
    """The files below one folder, local or remote; a file that leads out of it is refused.

    With `follow_symlinks` links may lead anywhere; ids may not.

    Attributes:
        remote: whether each reading is a request.

    Raises:
        OrchardError: on construction, when the folder does not exist.
    """

    def __init__(self, root: str, follow_symlinks: bool = False) -> None:
        self.root = root
        self._follow_symlinks = follow_symlinks
        self.remote = storage.is_remote(root)
        if not self.remote:
            if not os.path.isdir(root):
                raise OrchardError(
                    f"{root}: no such folder of images; correct --images_dir or --test_images_dir"
                )
            self._real_root = os.path.realpath(root)
            self._safe_folders = {"": self._real_root}

    def read(self, file: str) -> ImageFile:
        """The file of that path within the folder.

        Raises:
            SourceProblem: outside the folder, missing or unreadable.
        """
        parts = file.split("/")
        if ".." in parts or file.startswith("/") or "\\" in file or "\0" in file:
            raise SourceProblem(
                "outside the images folder", f"{file!r} leads out of the images folder"
            )
        if self.remote:
            return ImageFile(self._read_remote(file), 0)
        try:
            return self._read_local(file)
        except FileNotFoundError:
            raise SourceProblem("missing image", f"no file {file!r}{self._hint(file)}") from None
        except OSError as error:
            raise SourceProblem("unreadable image", f"{file!r}: {error.strerror}") from error

    def read_many(self, files: Sequence[str]) -> Iterator[ImageFile | SourceProblem]:
        """What `read` returns or raises for each of `files`, in their order.

        Remote ones are read several at a time: each takes a while, most of it waiting.
        """
        if not self.remote:
            yield from map(self._attempt, files)
            return
        for start in range(0, len(files), _READ_AHEAD):
            yield from in_parallel(self._attempt, files[start : start + _READ_AHEAD])

    def _attempt(self, file: str) -> ImageFile | SourceProblem:
        try:
            return self.read(file)
        except SourceProblem as problem:
            return problem

    def _read_local(self, file: str) -> ImageFile:
        folder, _, name = file.rpartition("/")
        real_folder = self._safe_folders.get(folder)
        if real_folder is None:
            real_folder = self._inside(os.path.join(self._real_root, folder), file)
            self._safe_folders[folder] = real_folder
        path = f"{real_folder}/{name}"
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            handle = os.open(path, flags | os.O_NOFOLLOW)
        except OSError:
            if not os.path.islink(path):
                raise
            handle = os.open(self._inside(path, file), flags | os.O_NOFOLLOW)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise SourceProblem("unreadable image", f"{file!r} is no regular file")
            data = os.read(handle, status.st_size + 1)
            if len(data) < status.st_size:
                with open(handle, "rb", closefd=False) as rest:
                    data += rest.read()
        finally:
            os.close(handle)
        return ImageFile(data, status.st_mtime_ns)

    def _inside(self, path: str, file: str) -> str:
        real = os.path.realpath(path)
        if self._follow_symlinks:
            return real
        if os.path.commonpath((real, self._real_root)) != self._real_root:
            detail = (
                f"{file!r} is a link that leads out of the images folder (to follow it, pass "
                "--follow_symlinks)"
            )
            raise SourceProblem("outside the images folder", detail)
        return real

    def _read_remote(self, file: str) -> bytes:
        try:
            return storage.read_bytes(storage.join(self.root, file))
        except MissingObject as error:
            # A refusal or an outage is no fault of the row, which would be left out for it.
            raise SourceProblem("missing image", f"no file {file!r}") from error

    def _hint(self, file: str) -> str:
        """What a missing file may be called instead."""
        stem, ending = posixpath.splitext(file)
        for other in (*EXTENSIONS, *(ending.upper() for ending in EXTENSIONS)):
            if other != ending and os.path.exists(os.path.join(self._real_root, stem + other)):
                found = stem + other
                return f", but there is {found!r}: mend the id, or pass --extension={other}"
        return ""
