"""Rows of a long computation on disk as they come, so that a killed command goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from orchard import storage
from orchard.formats import npz
from orchard.progress import Progress

if TYPE_CHECKING:
    from typing import Self

_SAVE_EVERY_SECONDS = 20.0
_CHECKED_AT_ONCE = 512
_KIND = "part of a computation"
_REMEDY = "delete it and run the command again, which computes its rows anew"


class ResumableRows:
    """Float32 rows by image id, in parts in one directory until `remove`.

    Inside `with`, what is added is saved every 20 seconds and at the end, also that of an error.

    Args:
        directory: of the parts; nothing else lies there.
        key: what the rows are computed with and from; rows of another key are not used.

    Attributes:
        rows: id -> float32 [classes].

    Raises:
        OrchardError: a part is damaged.
    """

    def __init__(self, directory: str, key: str):
        self._directory = directory
        self._key = key
        self.rows: dict[str, np.ndarray] = {}
        self._crc32cs: dict[str, int] = {}
        self._unsaved: list[str] = []
        self._saved_at = time.monotonic()
        self._next_part = 0
        columns = ("ids", "crc32cs", "rows")
        for part in npz.read_parts(
            directory, "key", *columns, kind=_KIND, remedy=_REMEDY, aligned=columns
        ):
            self._next_part += 1
            if str(part["key"]) == key:
                ids = part["ids"].tolist()
                self.rows.update(zip(ids, part["rows"], strict=True))
                self._crc32cs.update(zip(ids, part["crc32cs"].tolist(), strict=True))

    def __enter__(self) -> Self:
        self._saved_at = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.save()

    def forget_changed(self, paths: Mapping[str, str]) -> None:
        """Drop the rows of files that are gone or have another content by now.

        Args:
            paths: id -> file.
        """
        kept = [image_id for image_id in self.rows if image_id in paths]
        # Reading many photos again takes a while, though little beside predicting them.
        starts = range(0, len(kept), _CHECKED_AT_ONCE)
        for start in Progress(starts, desc="checking files", delay=5, leave=False):
            ids = kept[start : start + _CHECKED_AT_ONCE]
            found = storage.sizes_and_crc32cs([paths[image_id] for image_id in ids])
            for image_id, facts in zip(ids, found, strict=True):
                if facts is None or facts[1] != self._crc32cs[image_id]:
                    del self.rows[image_id]

    def add(
        self, ids: Sequence[str], rows: Iterable[np.ndarray], crc32cs: Sequence[int] = ()
    ) -> None:
        """Take rows.

        Args:
            ids: of the images.
            rows: float32 [classes], one an id.
            crc32cs: of the files that they were computed from, where `forget_changed` is to see.
        """
        self.rows.update(zip(ids, rows, strict=True))
        self._crc32cs.update(zip(ids, crc32cs or [0] * len(ids), strict=True))
        self._unsaved += ids
        if time.monotonic() - self._saved_at > _SAVE_EVERY_SECONDS:
            self.save()

    def save(self) -> None:
        """Write what came since the last time."""
        if not self._unsaved:
            return
        crc32cs = [self._crc32cs[image_id] for image_id in self._unsaved]
        npz.write(
            storage.join(self._directory, f"part-{self._next_part:06d}{npz.SUFFIX}"),
            {
                "key": self._key,
                "ids": self._unsaved,
                "crc32cs": np.array(crc32cs, np.uint32),
                "rows": np.stack([self.rows[image_id] for image_id in self._unsaved]),
            },
        )
        self._unsaved, self._next_part = [], self._next_part + 1
        self._saved_at = time.monotonic()

    def remove(self) -> None:
        """Delete the parts, once the result is complete."""
        names = storage.list_names(self._directory)
        if storage.LOCK_FILE in names:
            for name in set(names) - {storage.LOCK_FILE}:
                storage.remove_tree(storage.join(self._directory, name))
        else:
            storage.remove_tree(self._directory)


@contextmanager
def rows_towards(output: str, key: str) -> Iterator[ResumableRows]:
    """The rows on their way to a file, beside it; no other process writes that one meanwhile.

    Args:
        output: the file.
        key: see `ResumableRows`.

    Raises:
        OrchardError: another process is at it, or nothing can be written there.
    """
    directory, is_empty = f"{output}.partial", False
    try:
        with storage.lock_folder(directory, "choose another --output"):
            storage.remove_leftovers(output)
            try:
                yield ResumableRows(directory, key)
            finally:
                is_empty = storage.list_names(directory) in ([], [storage.LOCK_FILE])
    finally:
        if is_empty:
            storage.remove_tree(directory)
