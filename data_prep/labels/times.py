"""When each row's photo was taken (`--time_column`), as numbers that say which came first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.labels.csv_table import CsvTable
from data_prep.labels.problems import Problem

# As cameras write it into EXIF: 2024:05:31 12:00:00.
_EXIF_DATE = re.compile(r"(\d{4}):(\d\d):(\d\d)(?!\d)")


@dataclass(frozen=True)
class RowTimes:
    """The time of each row.

    Attributes:
        values: float64 [n]; dates as seconds since 1970 (UTC, where a cell names no other zone),
            numbers as they are; NaN where a cell is neither.
        cells: as the table has them.
    """

    values: np.ndarray
    cells: tuple[str, ...]

    def take(self, rows: np.ndarray) -> "RowTimes":
        """Those of some rows."""
        return RowTimes(self.values[rows], tuple(self.cells[row] for row in rows))

    def span(self, rows: np.ndarray) -> str:
        """The first and the last time of some rows, as the table has them."""
        values = self.values[rows]
        first, last = rows[int(values.argmin())], rows[int(values.argmax())]
        return f"{self.cells[first]} to {self.cells[last]}"


def read_times(table: CsvTable, column: str, ids: Sequence[str]) -> tuple[RowTimes, list[Problem]]:
    """The numbers of a column, or its dates: ISO 8601 (`2024-05-31`), or as EXIF has them.

    Returns:
        The times, and the rows whose cell has none.
    """
    cells = table.column(column)
    times = _numbers(cells)
    if times is None:
        times = _dates(cells)
    problems = [
        Problem(
            table.file,
            table.row_numbers[row],
            ids[row],
            "bad time",
            f"{cells[row]!r} in column {column!r} is no date such as 2024-05-31 or "
            "2024-05-31T12:00, and the column has not numbers alone",
        )
        for row in np.flatnonzero(~np.isfinite(times)).tolist()
    ]
    return RowTimes(times, tuple(cells)), problems


def _numbers(cells: Sequence[str]) -> np.ndarray | None:
    """The cells as numbers, empty ones as NaN; None where one is something else."""
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return None


def _dates(cells: Sequence[str]) -> np.ndarray:
    import pandas as pd

    texts = [_EXIF_DATE.sub(r"\1-\2-\3", cell, count=1) for cell in cells]
    dates = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    seconds = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return np.asarray(seconds, np.float64)
