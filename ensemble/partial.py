"""Rows of a long prediction on disk as they come, so that a killed command goes on."""

import io
from collections.abc import Sequence

import numpy as np

from data_prep import storage


class PartialRows:
    """Probabilities by id in `<output>.partial/`, until `remove`.

    Rows of another model or folder are not used: `key` tells them apart.
    """

    def __init__(self, output: str, key: str):
        """Read the rows that an earlier command left."""
        self._directory = f"{output}.partial"
        self._key = key
        self.rows: dict[str, np.ndarray] = {}
        names = storage.list_names(self._directory)
        for name in names:
            content = io.BytesIO(storage.read_bytes(storage.join(self._directory, name)))
            with np.load(content, allow_pickle=False) as part:
                if str(part["key"]) == key:
                    self.rows.update(zip(map(str, part["ids"]), part["rows"], strict=True))
        self._unsaved: dict[str, np.ndarray] = {}
        self._next_part = len(names)

    def add(self, ids: Sequence[str], rows: Sequence[np.ndarray]) -> None:
        """Take one row float32 [classes] an id; `save` puts them on disk."""
        new = dict(zip(ids, rows, strict=True))
        self._unsaved.update(new)
        self.rows.update(new)

    def save(self) -> None:
        """Write what came since the last time."""
        if not self._unsaved:
            return
        buffer = io.BytesIO()
        ids, rows = np.array(list(self._unsaved)), np.stack(list(self._unsaved.values()))
        np.savez(buffer, key=np.array(self._key), ids=ids, rows=rows)
        name = f"part-{self._next_part:06d}.npz"
        storage.write_bytes(storage.join(self._directory, name), buffer.getvalue())
        self._unsaved, self._next_part = {}, self._next_part + 1

    def remove(self) -> None:
        """Drop the parts: the output is whole."""
        storage.remove_tree(self._directory)
