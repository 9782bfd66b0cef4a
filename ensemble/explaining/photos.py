"""The images to explain: a folder of photos, or the records of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ensemble.inference import Photo, read_batches
from orchard.errors import OrchardError
from orchard.formats import tfrecord
from trainer.data import RecordTable, read_few


class Photos(Protocol):
    """Images by row."""

    @property
    def ids(self) -> Sequence[str]:
        """Of the rows."""

    def jpegs(self, rows: Sequence[int]) -> list[bytes]:
        """Encoded images, upright."""

    def readable(self, rows: Sequence[int]) -> tuple[dict[int, bytes], list[str]]:
        """Encoded images, upright, of the rows that have any; what is wrong with the others."""

    def take(self, rows: Sequence[int]) -> Photos:
        """Some of them."""


@dataclass(frozen=True)
class FolderPhotos:
    """Files of a folder.

    Attributes:
        files: (id, path) of each.
    """

    files: Sequence[tuple[str, str]] = field(repr=False)

    @property
    def ids(self) -> Sequence[str]:
        """Of the files."""
        return [image_id for image_id, _ in self.files]

    def read(self, rows: Sequence[int]) -> list[Photo]:
        """The files' contents, or what is wrong with them."""
        (batch,) = read_batches([self.files[row] for row in rows], len(rows)) if rows else ([],)
        return batch

    def jpegs(self, rows: Sequence[int]) -> list[bytes]:
        """Encoded images, upright.

        Raises:
            OrchardError: a file is no image.
        """
        photos = self.read(rows)
        for photo in photos:
            if photo.problem:
                raise OrchardError(
                    f"{photo.path}: {photo.problem}; repair or remove it, or pass --on_bad=skip"
                )
        return [photo.jpeg for photo in photos]

    def readable(self, rows: Sequence[int]) -> tuple[dict[int, bytes], list[str]]:
        """Encoded images, upright, of the rows that have any; what is wrong with the others."""
        photos = list(zip(rows, self.read(rows), strict=True))
        return (
            {row: photo.jpeg for row, photo in photos if not photo.problem},
            [f"{photo.path}: {photo.problem}" for _, photo in photos if photo.problem],
        )

    def take(self, rows: Sequence[int]) -> FolderPhotos:
        """Some of them."""
        return FolderPhotos([self.files[row] for row in rows])


@dataclass(frozen=True)
class RecordPhotos:
    """Records of a dataset.

    Attributes:
        records: their table.
    """

    records: RecordTable

    @property
    def ids(self) -> Sequence[str]:
        """Of the records."""
        return self.records.ids.tolist()

    def jpegs(self, rows: Sequence[int]) -> list[bytes]:
        """The images of the records."""
        key = self.records.image_key
        payloads = read_few(self.records, list(rows))
        return [tfrecord.Example(payload).bytes_of(key) for payload in payloads]

    def readable(self, rows: Sequence[int]) -> tuple[dict[int, bytes], list[str]]:
        """The images of the records, all of which were checked by preparation."""
        return dict(zip(rows, self.jpegs(rows), strict=True)), []

    def take(self, rows: Sequence[int]) -> RecordPhotos:
        """Some of them."""
        return RecordPhotos(self.records.take(np.array(rows, np.int64)))
