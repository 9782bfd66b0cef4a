"""Logits on disk: computed once for each (member, dataset, split, test-time augmentation).

`<directory>/<key>.npz` holds a finished pass. While a pass runs, its rows lie in
`<directory>/<key>/`, so that a killed run goes on with those that are missing.
"""

import numpy as np

from ensemble.inference.resumable import ResumableRows
from ensemble.members import Member
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import npz, save_logits
from trainer.data import RecordTable

# Part of every key: raised when what a pass computes changes, so that old entries are left alone.
_FORMAT = "v1"
_KIND = "file of the logits cache"
_REMEDY = "delete it and run the command again, which computes its logits anew"


class LogitsCache(ResumableRows):
    """One member's logits for the records of one split.

    Args:
        directory: of the cache.
        member: what computes the logits.
        records: the split.
        tta: test-time augmentation.

    Raises:
        OrchardError: a file of the cache is damaged.
    """

    def __init__(self, directory: str, member: Member, records: RecordTable, tta: str):
        split = "+".join(records.splits)
        key = f"{member.fingerprint[:16]}-{records.fingerprint[:16]}-{split}-{tta}-{_FORMAT}"
        super().__init__(storage.join(directory, key), key)
        self._entry = storage.join(directory, f"{key}{npz.SUFFIX}")
        self._member = member
        self._records = records
        self._finished = False
        if storage.exists(self._entry):
            names = ("ids", "logits")
            kept = npz.read(self._entry, *names, kind=_KIND, remedy=_REMEDY, aligned=names)
            self.rows.update(zip(kept["ids"].tolist(), kept["logits"], strict=True))
            self._finished = np.array_equal(kept["ids"], records.ids)

    @property
    def done(self) -> np.ndarray:
        """Which records have logits: bool [records]."""
        return np.array([image_id in self.rows for image_id in self._records.ids.tolist()])

    @property
    def logits(self) -> np.ndarray:
        """Float32 [records, classes], once all are done."""
        return np.stack([self.rows[image_id] for image_id in self._records.ids.tolist()])

    def add_records(self, gids: np.ndarray, logits: np.ndarray) -> None:
        """Take logits float32 [gids, classes] of rows of the record table.

        Raises:
            OrchardError: a logit is NaN or infinite; none of them is taken then.
        """
        ids = self._records.ids[gids].tolist()
        bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(bad):
            raise OrchardError(
                f"member {self._member.path} gives logits that are not finite for image "
                f"{ids[bad[0]]!r}; its training has diverged: leave it out"
            )
        self.add(ids, logits)

    def finish(self) -> None:
        """Turn the parts into the entry, once every row is done."""
        records = self._records
        if not self._finished:
            save_logits(self._entry, records.ids, self.logits, records.targets, records.class_names)
            self._finished = True
        self.remove()  # Of a finished one too: a run may have been killed just here.
