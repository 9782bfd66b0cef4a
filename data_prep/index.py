"""`records.parquet`: one row per record, in the order of the shards."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from data_prep import tfrecord
from data_prep.plan import Plan
from data_prep.scan import hex_digests
from data_prep.shard import Receipt

if TYPE_CHECKING:
    import pyarrow as pa

_ROW_GROUP = 100_000


def records_parquet(plan: Plan, receipts: Sequence[Receipt]) -> bytes:
    """The index; columns as in `manifest.load_records`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shards = [plan.shards[index] for index in range(len(receipts))]
    lengths = [np.asarray(receipt.lengths, np.int64) for receipt in receipts]
    frames = [length + tfrecord.FRAME_OVERHEAD_BYTES for length in lengths]
    numbers = [np.full(len(rows.ids), rows.index) for rows in shards]
    checksums = [np.asarray(receipt.image_crc32c, np.uint32) for receipt in receipts]
    targets = np.concatenate([rows.targets for rows in shards])
    columns = {
        "id": _strings([image_id for rows in shards for image_id in rows.ids]),
        "split": _strings([rows.split for rows in shards for _ in rows.ids]),
        "shard": _numbers(np.concatenate(numbers), np.int32),
        "offset": _numbers(
            np.concatenate([np.cumsum(frame) - frame for frame in frames]), np.int64
        ),
        "length": _numbers(np.concatenate(lengths), np.int32),
        "csv_row": _numbers(np.concatenate([rows.csv_rows for rows in shards]), np.int64),
        "image_crc32c": _numbers(np.concatenate(checksums), np.uint32),
        "target": pa.ListArray.from_arrays(
            _numbers(np.arange(len(targets) + 1) * targets.shape[1], np.int32),
            _numbers(targets.ravel(), np.float32),
        ),
        "source_file": _strings([file for rows in shards for file in rows.files]),
        "source_sha256": _texts(
            hex_digests(np.concatenate([rows.sha256 for rows in shards])).tolist()
        ),
    }
    buffer = io.BytesIO()
    table = pa.Table.from_arrays(list(columns.values()), list(columns))
    pq.write_table(table, buffer, compression="zstd", row_group_size=_ROW_GROUP)
    return buffer.getvalue()


# Arrow's own conversions import pandas, which takes longer than to write a small dataset.
def _numbers(values: np.ndarray, dtype: type) -> "pa.Array":
    import pyarrow as pa

    values = np.ascontiguousarray(values, dtype)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _strings(values: Sequence[str]) -> "pa.Array":
    return _texts([value.encode() for value in values])


def _texts(encoded: Sequence[bytes]) -> "pa.Array":
    import pyarrow as pa

    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), buffers).cast(pa.string())
