"""Pictures that are in a dataset twice, or nearly, with different labels."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from data_prep.images import difference_hash
from data_prep.plan import connected, look_alikes
from orchard.formats import tfrecord
from trainer.data import RecordTable, read_few

_RECORDS_AT_ONCE = 256
# Copies at half the size and quality 60 differ by 1.7 at most (root mean square of points of
# 0..255), photos of different solar cells, which have the same hash, by 2.2 and more.
_SIDE_PX, _MOST_DIFFERENT = 64, 2.0


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
    alike = [g for group in groups if _differ(records, group) for g in _same(records, group)]
    return Twins(tuple(g for g in alike if _differ(records, g)))


def _differ(records: RecordTable, rows: np.ndarray) -> bool:
    """Whether rows have several labels."""
    return len(np.unique(records.targets[rows], axis=0)) > 1


def _same(records: RecordTable, rows: np.ndarray) -> list[np.ndarray]:
    """The sets of rows whose pictures are the same point by point: hashes of plain ones agree."""
    points = np.stack([_points(payload, records) for payload in read_few(records, rows)])
    pairs = [
        (i, j)
        for i in range(len(rows))
        for j in np.flatnonzero(_near(points[:i], points[i])).tolist()
    ]
    return [rows[group] for group in connected(len(rows), np.array(pairs, np.int64).reshape(-1, 2))]


def _points(payload: bytes, records: RecordTable) -> np.ndarray:
    """Brightness 0..255 of a small version of a record's picture."""
    with Image.open(io.BytesIO(tfrecord.Example(payload).bytes_of(records.image_key))) as image:
        image.draft("L", (_SIDE_PX, _SIDE_PX))
        small = image.convert("L").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel()


def _near(others: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Which of the others are near `one`: bool [others]."""
    return np.sqrt(np.square(others - one).mean(axis=1)) <= _MOST_DIFFERENT
