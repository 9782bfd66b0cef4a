"""A CSV with a header: its cells, its rows as a spreadsheet counts them, its malformed rows."""

import contextlib
import csv
import functools
import gc
import hashlib
import io
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from data_prep.labels.problems import Problem
from orchard.errors import OrchardError

IMAGE_COLUMNS = ("image_id", "image", "id", "filename", "file_name", "file")
# pandas writes its index without a name, and reads that back as `Unnamed: 0`.
_UNNAMED = re.compile(r"(Unnamed: \d+)?")


@dataclass(frozen=True)
class CsvTable:
    """The content of a CSV, or of another table as the cells that a CSV would have.

    Attributes:
        file: its name without the folder.
        header: the names of the columns.
        rows: the cells of each row below the header that is not empty.
        row_numbers: of `rows`; the header of a CSV is row 1, and empty lines count.
        problems: rows with more or fewer cells than the header.
        sha256: of the whole file.
    """

    file: str
    header: list[str]
    rows: list[list[str]]
    row_numbers: list[int]
    problems: list[Problem]
    sha256: str
    _columns: dict[str, list[str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def column(self, name: str) -> list[str]:
        """The trimmed cells of a column, which are not to be changed."""
        if name not in self._columns:
            cells = map(operator.itemgetter(self.header.index(name)), self.rows)
            self._columns[name] = list(map(str.strip, cells))
        return self._columns[name]

    @functools.cached_property
    def index_columns(self) -> tuple[str, ...]:
        """Columns without a name that say nothing: pandas' index, and cells that are all empty."""
        if len(self.header) < 3:
            return ()
        return tuple(
            name
            for name in self.header
            if _UNNAMED.fullmatch(name) and _says_nothing(self.column(name))
        )


def parse_csv(data: bytes, path: str) -> CsvTable:
    """The table in the bytes of a CSV that errors call `path`.

    Raises:
        OrchardError: no UTF-8 text, no header, a column twice, or no row.
    """
    file = path.replace("\\", "/").rpartition("/")[2]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise OrchardError(f"{path}, row {line}: not UTF-8 text; save the CSV as UTF-8") from error
    lines: list[list[str]] = []
    try:
        with _uncollected():
            # Strict: a quote that is never closed would swallow the rows below it.
            lines.extend(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise OrchardError(
            f"{path}, row {len(lines) + 1}: not a CSV row ({error}); close the quotes around a "
            "cell, and double those inside it"
        ) from error
    if not lines or not any(cell.strip() for cell in lines[0]):
        raise OrchardError(f"{path}: the first row must name the columns, but it is empty")
    header = [cell.strip() for cell in lines[0]]
    other = next((mark for mark in ";\t|" if mark in header[0]), None) if len(header) == 1 else None
    if other:
        raise OrchardError(
            f"{path}, row 1: the columns are separated by {other!r}; save the CSV with commas"
        )
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise OrchardError(f"{path}, row 1: the column {repeated[0]!r} appears twice")
    rows = lines[1:]
    numbers, problems = list(range(2, len(lines) + 1)), []
    if set(map(len, rows)) - {len(header)}:
        numbers = [number for number in numbers if lines[number - 1]]
        rows = [row for row in rows if row]
        for at, (number, row) in enumerate(zip(numbers, rows, strict=True)):
            if len(row) != len(header):
                detail = f"{len(row)} cells where the header has {len(header)}"
                kind = "wrong number of cells"
                problems.append(Problem(file, number, row[0].strip(), kind, detail))
                rows[at] = (row + [""] * len(header))[: len(header)]
    if not rows:
        raise OrchardError(f"{path}: no rows below the header")
    return CsvTable(file, header, rows, numbers, problems, hashlib.sha256(data).hexdigest())


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from looking for cycles: so many new lists would set it off again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _says_nothing(cells: list[str]) -> bool:
    if not any(cells):
        return True
    start = cells[0] if cells[0] in ("0", "1") else "0"
    return cells == [str(int(start) + row) for row in range(len(cells))]


def require_column(table: CsvTable, name: str, flag: str) -> None:
    """Raise an `OrchardError` when the column that `flag` names is not there."""
    if name not in table.header:
        raise OrchardError(
            f"{table.file} has no column {name!r} ({flag}); it has {', '.join(table.header)}"
        )


def find_image_column(table: CsvTable, wanted: str | None) -> str:
    """The column of the ids: the one that is wanted, a usual name, or the first."""
    if wanted is not None:
        require_column(table, wanted, "--image_column")
        return wanted
    names = [name for name in table.header if name not in table.index_columns]
    return next((name for name in IMAGE_COLUMNS if name in names), names[0])
