"""A folder of photographs as upright JPEGs, without any dataset."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import google_crc32c

from data_prep.images import (
    ImageOptions,
    inspect_image,
    is_image_name,
    is_litter,
    record_jpeg,
    without_ending,
)
from orchard import storage
from orchard.errors import MissingObject, OrchardError
from orchard.parallel import DaemonExecutor

_READ_AHEAD_BATCHES = 2
_OPTIONS = ImageOptions()


@dataclass(frozen=True)
class Photo:
    """One file: its content as a JPEG, or what is wrong with it.

    Attributes:
        image_id: its id.
        path: where it lies.
        jpeg: what a dataset would hold of it; empty where there is a problem.
        crc32c: of the file's own bytes.
        problem: why it is no usable image.
    """

    image_id: str
    path: str
    jpeg: bytes
    crc32c: int = 0
    problem: str = ""


def list_photos(images_dir: str) -> list[tuple[str, str]]:
    """(id, path) of every image file in a folder and below, sorted by id.

    The id is the path within the folder without its ending, as in a label CSV. Hidden files and
    what other programs leave are no photos, as in preparation.

    Raises:
        OrchardError: no such folder, no image in it, or two files with one id.
    """
    if not storage.exists(images_dir):
        raise OrchardError(f"--images_dir={images_dir}: no such folder")
    found: dict[str, str] = {}
    for relative in storage.list_files(images_dir):
        if is_litter(relative) or not is_image_name(relative, ""):
            continue
        image_id = without_ending(relative)
        if image_id in found:
            raise OrchardError(
                f"--images_dir={images_dir}: {found[image_id]} and {relative} would both have the "
                f"id {image_id!r}; rename one of them"
            )
        found[image_id] = relative
    if not found:
        raise OrchardError(
            f"--images_dir={images_dir} holds no file that ends in .jpg, .jpeg, .png or .webp"
        )
    return [(image_id, storage.join(images_dir, found[image_id])) for image_id in sorted(found)]


def name_photos(paths: Sequence[str]) -> list[tuple[str, str]]:
    """(id, path) of single files, in their order; an id is a file's name without its ending.

    Raises:
        OrchardError: two of them would have one id.
    """
    found: dict[str, str] = {}
    for path in paths:
        image_id = without_ending(path.rpartition("/")[2])
        if image_id in found:
            raise OrchardError(
                f"--images: {found[image_id]} and {path} would both have the id {image_id!r}; "
                "predict them one after the other"
            )
        found[image_id] = path
    return list(found.items())


def read_batches(
    photos: Sequence[tuple[str, str]], batch_size: int, threads: int = 4
) -> Iterator[list[Photo]]:
    """Photos in order, `batch_size` at a time, read ahead by `threads`.

    Each is prepared as a dataset's records are: files that turn by EXIF are turned upright, PNG and
    WebP become JPEG, everything else keeps its bytes.
    """
    with DaemonExecutor(threads) as pool:
        ahead: list[list[Future[Photo]]] = []
        for start in range(0, len(photos), batch_size):
            ahead.append([pool.submit(_read, *one) for one in photos[start : start + batch_size]])
            if len(ahead) > _READ_AHEAD_BATCHES:
                yield [future.result() for future in ahead.pop(0)]
        for batch in ahead:
            yield [future.result() for future in batch]


def prepare_photo(image_id: str, path: str, data: bytes, options: ImageOptions = _OPTIONS) -> Photo:
    """The content of an image file as a dataset would hold it, or what is wrong with it.

    Args:
        image_id: its id.
        path: where it came from.
        data: its content.
        options: limits.
    """
    facts = inspect_image(data, options)
    if facts.problem:
        return Photo(image_id, path, b"", problem=": ".join(facts.problem))
    try:
        return Photo(image_id, path, record_jpeg(data, options), google_crc32c.value(data))
    except ValueError as error:
        return Photo(image_id, path, b"", problem=str(error))


def _read(image_id: str, path: str) -> Photo:
    try:
        data = storage.read_bytes(path)
    except OrchardError as error:
        # A file that cannot be read is a bad one; a bucket that does not answer is not.
        if storage.is_remote(path) and not isinstance(error, MissingObject):
            raise
        return Photo(image_id, path, b"", problem=str(error).removeprefix(f"{path}: "))
    return prepare_photo(image_id, path, data)
