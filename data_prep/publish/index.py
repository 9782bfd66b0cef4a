"""`records.parquet`: a row a record, in the order of the shards."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from data_prep.checks import hex_digests
from data_prep.plan import Plan, PlannedShard
from data_prep.shard import Receipt
from orchard.formats import Targets, record_format
from orchard.formats.manifest import DIFFERENCE_HASH_COLUMN, REPEATS_COLUMN

if TYPE_CHECKING:
    import pyarrow as pa

_ROW_GROUP = 100_000


def records_parquet(plan: Plan, receipts: Sequence[Receipt]) -> bytes:
    """The index; columns as in `orchard.formats.load_records`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # By shards, which keeps the offsets of strings and lists within their 32 bits.
    tables = [_table(*shard) for shard in zip(plan.shards, receipts, strict=True)]
    buffer = io.BytesIO()
    # Left as they are, these settings give the bytes that a dataset prepared before has.
    pq.write_table(pa.concat_tables(tables), buffer, compression="zstd", row_group_size=_ROW_GROUP)
    return buffer.getvalue()


def _table(shard: PlannedShard, receipt: Receipt) -> "pa.Table":
    import pyarrow as pa

    count = len(shard.targets)
    lengths = np.asarray(receipt.lengths, np.int64)
    columns = {
        "id": _strings(shard.ids),
        "split": _strings([shard.split] * count),
        "shard": _numbers(np.full(count, shard.index), np.int32),
        "offset": _numbers(record_format(shard.file).offsets(lengths), np.int64),
        "length": _numbers(lengths, np.int32),
        "csv_row": _numbers(shard.csv_rows, np.int64),
        "image_crc32c": _numbers(np.asarray(receipt.image_crc32c), np.uint32),
        **_labels(shard.targets),
        "source_file": _strings(shard.files),
        "source_sha256": _digests(shard.sha256),
        **_repeats(shard.repeats),
        **_hashes(shard.difference_hash),
    }
    return pa.Table.from_arrays(list(columns.values()), list(columns))


def _labels(targets: Targets) -> dict[str, "pa.Array"]:
    """The column `target`, or `label` where that says it all."""
    if targets.are_classes:
        return {"label": _numbers(targets.values, np.int32)}
    return {"target": _lists(targets.values, np.float32)}


def _repeats(repeats: np.ndarray | None) -> dict[str, "pa.Array"]:
    return {} if repeats is None else {REPEATS_COLUMN: _lists(repeats, np.int16)}


def _hashes(hashes: np.ndarray | None) -> dict[str, "pa.Array"]:
    if hashes is None:
        return {}
    return {DIFFERENCE_HASH_COLUMN: _digests(hashes)}


# Arrow's own conversions import pandas or its compute functions, which takes longer than to write a
# small dataset.
def _numbers(values: np.ndarray, dtype: type) -> "pa.Array":
    import pyarrow as pa

    values = np.ascontiguousarray(values, dtype)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _lists(values: np.ndarray, dtype: type) -> "pa.Array":
    """One list a row of a matrix."""
    import pyarrow as pa

    ends = np.arange(len(values) + 1) * values.shape[1]
    return pa.ListArray.from_arrays(_numbers(ends, np.int32), _numbers(values.ravel(), dtype))


def _strings(values: Sequence[str]) -> "pa.Array":
    text = "".join(values)
    # Of ASCII a character is a byte.
    sizes = map(len, values if text.isascii() else [value.encode() for value in values])
    lengths = np.fromiter(sizes, np.int32, len(values))
    return _texts(text.encode(), np.cumsum(np.concatenate([[0], lengths])))


def _digests(digests: np.ndarray) -> "pa.Array":
    """The hexadecimal form of digests, V [n]."""
    encoded = hex_digests(digests)
    return _texts(encoded.tobytes(), np.arange(len(encoded) + 1) * encoded.dtype.itemsize)


def _texts(encoded: bytes, ends: np.ndarray) -> "pa.Array":
    """Texts that lie one behind the other; each begins where the one before it ends, from 0 on."""
    import pyarrow as pa

    buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(encoded)]
    return pa.Array.from_buffers(pa.string(), len(ends) - 1, buffers)
