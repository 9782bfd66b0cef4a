"""Tables that are no CSV: Parquet and JSON lines, read as the cells that a CSV would have."""

import datetime
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from data_prep.labels.csv_table import CsvTable, parse_csv
from orchard import json_text, storage
from orchard.errors import OrchardError, in_one_line

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Row = dict[str, Any]

# Of a Parquet file, whichever is more. A few bytes may stand for billions of equal values; a table
# of 200 columns that hold nothing but zeros and a few ones had 46 a byte.
_MAX_VALUES, _MAX_VALUES_A_BYTE = 5_000_000, 300


def read_table(path: str) -> CsvTable:
    """Read a table, a CSV if its name does not end in .parquet or .jsonl, from any storage.

    Raises:
        OrchardError: no such file, or as `parse_csv`, `parse_parquet`, `parse_json_lines`.
    """
    if not storage.exists(path):
        raise OrchardError(f"{path}: no such CSV file")
    if not storage.is_remote(path) and os.path.isdir(path):
        raise OrchardError(
            f"{path} is a folder; give a table of ids and labels, or, if its folders are the "
            f"classes, --layout=folders --images_dir={path}"
        )
    parse: Callable[[bytes, str], CsvTable] = parse_csv
    if path.lower().endswith(".parquet"):
        parse = parse_parquet
    elif path.lower().endswith((".jsonl", ".ndjson")):
        parse = parse_json_lines
    return parse(storage.read_bytes(path), path)


def parse_parquet(data: bytes, path: str) -> CsvTable:
    """The table in the bytes of a Parquet file that errors call `path`; its first row is row 1.

    Raises:
        OrchardError: no Parquet file, no row, far more values than bytes, or a column of bytes or
            records.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        # To look at the metadata of damaged columns ends the process, unless this raises before.
        file.scan_contents(range(file.metadata.num_columns))
        _check_size(file.metadata, len(data), path)
        schema = file.schema_arrow
        kinds = zip(schema.names, schema.types, strict=True)
        texts = [name for name, kind in kinds if pa.types.is_string(kind)]
        # Else a long text that many rows share would be in memory once a row.
        table = pq.ParquetFile(io.BytesIO(data), read_dictionary=texts).read()
        table.validate(full=True)  # Reading alone does not notice texts that are no UTF-8.
    except (pa.ArrowException, OSError, ValueError) as error:
        raise OrchardError(
            f"{path}: no Parquet file ({in_one_line(error)}); write it again"
        ) from error
    kept = [
        (name, column)
        for name, column in zip(table.column_names, table.columns, strict=True)
        if not name.startswith("__index_level_")
    ]
    names = [name for name, _ in kept]
    columns = [_values(path, name, column) for name, column in kept]
    rows = enumerate(zip(*columns, strict=True), start=1)
    return _table(path, data, names, ((n, dict(zip(names, row, strict=True))) for n, row in rows))


def _check_size(metadata: "pq.FileMetaData", num_bytes: int, path: str) -> None:
    """Refuse a small file that stands for more values than memory has room for."""
    values = sum(
        metadata.row_group(group).column(column).num_values
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    if values > max(_MAX_VALUES, _MAX_VALUES_A_BYTE * num_bytes):
        raise OrchardError(
            f"{path}: {values:,} values in {num_bytes:,} bytes are no table of labels; write those "
            "that are wanted, or a CSV"
        )


def _values(path: str, name: str, column: "pa.ChunkedArray") -> list[Any]:
    """A column's values as Python has them."""
    import pyarrow as pa

    found: list[Any] = []
    try:
        for chunk in column.chunks:
            if pa.types.is_dictionary(chunk.type):
                known = chunk.dictionary.to_pylist()
                found += [None if at is None else known[at] for at in chunk.indices.to_pylist()]
            else:
                found += chunk.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise OrchardError(
            f"{path}: the column {name!r} cannot be read ({in_one_line(error)}); write it again"
        ) from error
    return found


def parse_json_lines(data: bytes, path: str) -> CsvTable:
    """The table in the bytes of a file that has one JSON object a line; its first line is row 1.

    A name that a line lacks is an empty cell.

    Raises:
        OrchardError: a line is no JSON object, no row, or a value is an object.
    """
    rows: list[tuple[int, Row]] = []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise OrchardError(f"{path}, row {at}: not UTF-8 text; save it as UTF-8") from error
    # By LF alone: JSON's strings may hold what splitlines takes for the end of a line.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json_text.loads(line)
        except ValueError as error:
            raise OrchardError(
                f"{path}, row {number}: no JSON ({error}); write one object a line"
            ) from error
        if not isinstance(row, dict):
            raise OrchardError(
                f"{path}, row {number}: {line.strip()[:40]!r} is no object of columns and values; "
                "write one object a line"
            )
        rows.append((number, row))
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    return _table(path, data, names, rows)


def _table(
    path: str, data: bytes, names: Sequence[str], rows: Iterable[tuple[int, Row]]
) -> CsvTable:
    cells, numbers = [], []
    for number, row in rows:
        cells.append([_cell(path, number, name, row.get(name)) for name in names])
        numbers.append(number)
    if not cells or not names:
        raise OrchardError(f"{path}: no rows")
    header = [name.strip() for name in names]
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise OrchardError(f"{path}: the column {repeated[0]!r} appears twice")
    file = path.replace("\\", "/").rpartition("/")[2]
    return CsvTable(file, header, cells, numbers, [], hashlib.sha256(data).hexdigest())


def _cell(path: str, number: int, name: str, value: Any) -> str:
    """A value as a CSV would have it; a list as JSON."""
    if value is None or value != value:  # NaN.
        return ""
    if isinstance(value, str | bool | int | float):
        return str(value)
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    if isinstance(value, list) and all(isinstance(one, str | bool | int | float) for one in value):
        return json.dumps(value, ensure_ascii=False)
    raise OrchardError(
        f"{path}, row {number}: column {name!r} holds {type(value).__name__}, where a table has "
        "text, numbers or lists of them; leave the column out, and put photos into files"
    )
