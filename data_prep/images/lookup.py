"""Which file of the images folder an id means, where it does not say so exactly."""

import os
import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from data_prep.images.source import file_name, is_image_name
from orchard import storage
from orchard.errors import OrchardError

_MAX_SEARCHED_FOLDERS = 1000
# To ask for so many files takes less than to list a large folder.
_MAX_ASKED_SINGLY = 1000


@dataclass(frozen=True)
class FoundFiles:
    """The files of ids, within the images folder.

    Attributes:
        files: of each id; where nothing was found, what the id says.
        odd: (id, file) of those that were found under another name than the id says.
        missing: positions of ids without a file.
    """

    files: tuple[str, ...]
    odd: tuple[tuple[str, str], ...] = ()
    missing: tuple[int, ...] = ()


def find_files(images_dir: str, ids: Sequence[str], extension: str) -> FoundFiles:
    """The files of `ids`.

    An id may have the images folder before it (`/data/images/a.jpg`, `images/a.jpg`), another case
    or ending than its file (`a` or `a.jpg` for `a.PNG`), or another Unicode form. Of several files
    the one with the same ending is taken, or none. Each folder that an id names is listed once, of
    a few ids only where one has no file of its name; in one that cannot be listed, as on some web
    servers, ids are taken by the word.
    """
    wanted = [file_name(image_id, extension) for image_id in ids]
    folders = _Folders(images_dir, lists_at_once=len(ids) > _MAX_ASKED_SINGLY)
    files, odd, missing = [], [], []
    for position, (image_id, file) in enumerate(zip(ids, wanted, strict=True)):
        found = folders.find(file, image_id, extension) if image_id else file
        files.append(found or file)
        if found is None:
            missing.append(position)
        elif found != file:
            odd.append((image_id, found))
    return FoundFiles(tuple(files), tuple(odd), tuple(missing))


def describe_odd(found: FoundFiles, csv: str) -> str:
    """One line that counts the files that have other names than their ids say; empty: none."""
    if not found.odd:
        return ""
    image_id, file = found.odd[0]
    count = len(found.odd)
    return f"{csv}: {count} id{'' if count == 1 else 's'} taken for files of other names, the " + (
        f"first {image_id!r} for {file!r}"
    )


def advise(images_dir: str, files: Sequence[str], found: FoundFiles, flag: str) -> dict[int, str]:
    """For missing files that are nearly there: where, and what to do, by their positions.

    They lie in a sub-folder, or their id is a number that has lost the zeros before it.

    Remote folders, which may be of any size, are not searched.

    Args:
        images_dir: where the files should be.
        files: of all ids.
        found: what was found.
        flag: the one that names the folder.
    """
    names = {posixpath.basename(files[position]): position for position in found.missing}
    places: dict[int, str] = {}
    if storage.is_remote(images_dir):
        return {}
    numbers = {name: position for name, position in names.items() if _without_zeros(name) == name}
    padded: dict[int, str] = {}
    for number, (folder, _, here) in enumerate(os.walk(images_dir)):
        if number > _MAX_SEARCHED_FOLDERS:
            break
        for name in here:
            if (short := _without_zeros(name)) != name and short in numbers:
                padded.setdefault(numbers[short], name)
        for name in names.keys() & set(here):
            path = os.path.relpath(os.path.join(folder, name), images_dir).replace(os.sep, "/")
            places.setdefault(names[name], path)
    folders = {posixpath.dirname(path) for path in places.values()}
    if len(folders) == 1 and len(found.missing) == len(files):
        advice = f"pass --{flag}={storage.join(images_dir, next(iter(folders)))}"
    else:
        advice = "put the folder before the name in the id"
    zeros = "the id has lost its zeros; keep its column as text where the table is made"
    return {position: f"there is {name!r}: {zeros}" for position, name in padded.items()} | {
        position: f"found in {path}: {advice}" for position, path in places.items()
    }


def _without_zeros(name: str) -> str:
    """The name of a file whose stem is a number, with the number as a spreadsheet keeps it."""
    stem, dot, ending = name.partition(".")
    if not (stem.isascii() and stem.isdigit()):
        return name
    return f"{stem.lstrip('0') or '0'}{dot}{ending}"


@dataclass
class _Folders:
    """The names in the folders that ids name, each listed once.

    Without `lists_at_once` only when a local file of the very name is not there.
    """

    root: str
    lists_at_once: bool = True
    _names: dict[str, frozenset[str]] = field(default_factory=dict)
    _stems: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    _prefixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        root = self.root.rstrip("/")
        if storage.is_remote(root):
            path = root.partition("://")[2]
            prefixes: tuple[str, ...] = (root, path, posixpath.basename(path))
        else:
            whole = os.path.abspath(root)
            real = os.path.realpath(root)
            prefixes = (root, whole, real, whole.lstrip("/"), os.path.basename(whole))
        self._prefixes = tuple(dict.fromkeys(f"{one}/" for one in prefixes if one.strip("/")))

    def find(self, file: str, image_id: str, extension: str) -> str | None:
        """The one file that `file` may mean, or None."""
        if self._is_there(file):
            return file
        without = self._without_folder(file)
        if without != file and self._is_there(without):
            return without
        for one in dict.fromkeys((file, without)):
            folder, name = posixpath.split(one)
            # An id `a.b` has no ending, one `a.jpg` may be that of `a.jpg.png`, but hardly is.
            bare = posixpath.basename(self._without_folder(image_id))
            stem = bare
            if is_image_name(bare, extension):
                stem = bare[: bare.rindex(".")] if "." in bare else bare
            candidates = self._stems_in(folder, extension).get(_normal(stem), [])
            if len(candidates) > 1:
                candidates = [c for c in candidates if _normal(c) == _normal(name)]
            if len(candidates) > 1:
                candidates = [c for c in candidates if _composed(c) == _composed(name)]
            if len(candidates) == 1:
                return posixpath.join(folder, candidates[0])
        return None

    def _without_folder(self, file: str) -> str:
        file = file.replace("\\", "/")
        prefix = next((one for one in self._prefixes if file.startswith(one)), "")
        file = file[len(prefix) :]
        return posixpath.normpath(file) if file.startswith("./") else file

    def _names_in(self, folder: str) -> frozenset[str]:
        names = self._names.get(folder)
        if names is None:
            names = frozenset()
            if not _leads_out(folder):
                place = storage.join(self.root, folder) if folder else self.root
                try:
                    names = frozenset(storage.list_names(place))
                except OrchardError:
                    pass  # Reading its files says why.
            self._names[folder] = names
        return names

    def _is_there(self, file: str) -> bool:
        folder, name = posixpath.split(file)
        if not self.lists_at_once and not storage.is_remote(self.root) and not _leads_out(file):
            if name not in ("", ".") and os.path.lexists(os.path.join(self.root, file)):
                return True
        return name in self._names_in(folder)

    def _stems_in(self, folder: str, extension: str) -> dict[str, list[str]]:
        """The names of the images in a folder by their stems without case."""
        stems = self._stems.get(folder)
        if stems is None:
            stems = {}
            for name in self._image_names(self._names_in(folder), extension):
                stems.setdefault(_normal(name[: name.rindex(".")]), []).append(name)
            self._stems[folder] = stems
        return stems

    def _image_names(self, names: Iterable[str], extension: str) -> Iterable[str]:
        return (name for name in names if "." in name and is_image_name(name, extension))


def _leads_out(path: str) -> bool:
    return path.startswith("/") or ".." in path.split("/") or "\0" in path


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _normal(name: str) -> str:
    return _composed(name).casefold()
