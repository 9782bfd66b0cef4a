"""Logits on disk: computed once for each (member, dataset, split, test-time augmentation).

`<directory>/<key>.npz` holds a finished pass. While a pass runs, its parts lie in
`<directory>/<key>/`, so that a killed run goes on with the rows that are missing; they are merged
and removed at the end.
Rows are keyed by image id: an entry whose ids are not the split's is not used.
"""

import io

import numpy as np

from ensemble.members import Member
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import npz, save_logits
from trainer.data import RecordTable

# Part of every key: raised when what a pass computes changes, so that old entries are left alone.
_FORMAT = "v1"


class LogitsCache:
    """One member's logits for the records of one split.

    logits: float32 [records, classes], filled where `done`. done: bool [records].
    """

    def __init__(self, directory: str, member: Member, records: RecordTable, tta: str):
        """Read what is there: the finished entry, or the parts of an unfinished pass.

        Raises:
            OrchardError: one of these files is damaged.
        """
        split = "+".join(records.splits)
        key = f"{member.fingerprint[:16]}-{records.fingerprint[:16]}-{split}-{tta}-{_FORMAT}"
        self._records = records
        self._entry = storage.join(directory, f"{key}.npz")
        self._parts_dir = storage.join(directory, key)
        self._member = member
        self.logits = np.zeros((len(records.ids), len(records.class_names)), np.float32)
        self.done = np.zeros(len(records.ids), bool)
        self._finished = self._read_entry()
        if not self._finished:
            self._read_parts()

    def add(self, rows: np.ndarray, logits: np.ndarray) -> None:
        """Store logits float32 [len(rows), classes] of record rows, on disk before returning.

        Raises:
            OrchardError: a logit is NaN or infinite; nothing is stored then.
        """
        bad = ~np.isfinite(logits).all(axis=1)
        if bad.any():
            raise OrchardError(
                f"member {self._member.path} gives logits that are not finite for image "
                f"{str(self._records.ids[rows[bad][0]])!r}; its training has diverged: leave it out"
            )
        self.logits[rows], self.done[rows] = logits, True
        buffer = io.BytesIO()
        np.savez(buffer, rows=rows, ids=self._records.ids[rows], logits=logits)
        name = f"part-{int(rows.min()):09d}.npz"
        storage.write_bytes(storage.join(self._parts_dir, name), buffer.getvalue())

    def finish(self) -> None:
        """Merge the parts into the entry, once every row is done."""
        if self._finished:
            return
        save_logits(
            self._entry,
            self._records.ids,
            self.logits,
            self._records.targets,
            self._records.class_names,
        )
        if storage.exists(self._parts_dir):
            storage.remove_tree(self._parts_dir)
        self._finished = True

    def _read_entry(self) -> bool:
        if not storage.exists(self._entry):
            return False
        ids, logits = npz.load(self._entry, "ids", "logits")
        if not np.array_equal(ids, self._records.ids):
            return False
        self.logits, self.done = logits, np.ones(len(self.done), bool)
        return True

    def _read_parts(self) -> None:
        for rows, ids, logits in npz.load_parts(self._parts_dir, "rows", "ids", "logits"):
            if rows.max() < len(self.done) and np.array_equal(self._records.ids[rows], ids):
                self.logits[rows], self.done[rows] = logits, True
