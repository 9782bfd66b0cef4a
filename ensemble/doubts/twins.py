"""Pictures that are in a dataset twice, or nearly, with different labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_prep.images import difference_hash
from data_prep.plan import look_alikes
from orchard.formats import tfrecord
from trainer.data import RecordTable, read_few

_RECORDS_AT_ONCE = 256


@dataclass(frozen=True)
class Twins:
    """Sets of rows of a record table that show one picture under several labels."""

    groups: tuple[np.ndarray, ...]

    def of(self, row: int) -> list[int]:
        """The other rows of a row's set."""
        return [int(one) for group in self.groups if row in group for one in group if one != row]


def find_twins(
    records: RecordTable, on_read: Callable[[int], object] = lambda count: None
) -> Twins:
    """Compare all pictures by their difference hashes; reads every record.

    Args:
        records: labeled.
        on_read: called with the number of records read since the last call.
    """
    hashes = np.zeros(len(records.ids), "V16")
    readable = np.zeros(len(records.ids), bool)
    for start in range(0, len(records.ids), _RECORDS_AT_ONCE):
        rows = range(start, min(start + _RECORDS_AT_ONCE, len(records.ids)))
        for row, payload in zip(rows, read_few(records, rows), strict=True):
            try:
                jpeg = tfrecord.Example(payload).bytes_of(records.image_key)
                hashes[row] = np.void(difference_hash(jpeg))
                readable[row] = True
            except ValueError:
                continue  # A damaged record looks like no other.
        on_read(len(rows))
    known = np.flatnonzero(readable)
    groups = [known[group] for group in look_alikes(hashes[known])]
    differ = [g for g in groups if len(np.unique(records.targets[g], axis=0)) > 1]
    return Twins(tuple(differ))
