"""Rows of a long prediction on disk as they come, so that a killed command goes on."""

import io
from collections.abc import Mapping

import numpy as np
from tqdm import tqdm

from orchard import storage
from orchard.formats import npz

_AT_ONCE = 512


class PartialRows:
    """Probabilities by id in `<output>.partial/`, until `remove`.

    Rows of another model or folder are not used: `key` tells them apart. Each row goes with the
    crc32c of the file that it was computed from.
    """

    def __init__(self, output: str, key: str):
        """Read the rows that an earlier command left.

        Raises:
            OrchardError: a part is damaged.
        """
        self._directory = f"{output}.partial"
        self._key = key
        self.rows: dict[str, np.ndarray] = {}
        self._crc32cs: dict[str, int] = {}
        self._unsaved: list[str] = []
        self._next_part = 0
        for found, ids, crc32cs, rows in npz.load_parts(
            self._directory, "key", "ids", "crc32cs", "rows"
        ):
            self._next_part += 1
            if str(found) == key:
                self.rows.update(zip(ids.tolist(), rows, strict=True))
                self._crc32cs.update(zip(ids.tolist(), crc32cs.tolist(), strict=True))

    def forget_changed(self, paths: Mapping[str, str]) -> None:
        """Drop the rows of files whose content is another one by now; paths: id -> file."""
        kept = [image_id for image_id in self.rows if image_id in paths]
        # Reading many photos again takes a while, though little beside predicting them.
        starts = tqdm(range(0, len(kept), _AT_ONCE), desc="checking files", delay=5, leave=False)
        for start in starts:
            ids = kept[start : start + _AT_ONCE]
            found = storage.sizes_and_crc32cs([paths[image_id] for image_id in ids])
            for image_id, facts in zip(ids, found, strict=True):
                if facts is None or facts[1] != self._crc32cs[image_id]:
                    del self.rows[image_id]

    def add(self, image_id: str, crc32c: int, row: np.ndarray) -> None:
        """Take one row float32 [classes]; `save` puts it on disk."""
        self.rows[image_id], self._crc32cs[image_id] = row, crc32c
        self._unsaved.append(image_id)

    def save(self) -> None:
        """Write what came since the last time."""
        if not self._unsaved:
            return
        buffer = io.BytesIO()
        np.savez(
            buffer,
            key=np.array(self._key),
            ids=np.array(self._unsaved),
            crc32cs=np.array([self._crc32cs[image_id] for image_id in self._unsaved], np.uint32),
            rows=np.stack([self.rows[image_id] for image_id in self._unsaved]),
        )
        name = f"part-{self._next_part:06d}{npz.SUFFIX}"
        storage.write_bytes(storage.join(self._directory, name), buffer.getvalue())
        self._unsaved, self._next_part = [], self._next_part + 1

    def remove(self) -> None:
        """Drop the parts: the output is whole."""
        storage.remove_tree(self._directory)
