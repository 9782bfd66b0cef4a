"""`records.parquet`: one row per record, in the order of the shards."""

import io
from collections.abc import Sequence

import numpy as np

from data_prep import tfrecord
from data_prep.plan import Plan
from data_prep.shard import Receipt

_ROW_GROUP = 100_000


def records_parquet(plan: Plan, receipts: Sequence[Receipt]) -> bytes:
    """The index; columns as in `manifest.load_records`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shards = [plan.shards[index] for index in range(len(receipts))]
    lengths = [np.asarray(receipt.lengths, np.int64) for receipt in receipts]
    frames = [length + tfrecord.FRAME_OVERHEAD_BYTES for length in lengths]
    num_classes = shards[0].targets.shape[1]
    targets = np.concatenate([rows.targets for rows in shards]).astype(np.float32)
    table = pa.table(
        {
            "id": pa.array([image_id for rows in shards for image_id in rows.ids], pa.string()),
            "split": pa.array([rows.split for rows in shards for _ in rows.ids], pa.string()),
            "shard": np.concatenate(
                [np.full(len(rows.ids), rows.index, np.int32) for rows in shards]
            ),
            "offset": np.concatenate([np.cumsum(frame) - frame for frame in frames]),
            "length": np.concatenate(lengths).astype(np.int32),
            "csv_row": np.concatenate([rows.csv_rows for rows in shards]),
            "image_crc32c": np.concatenate(
                [np.asarray(receipt.image_crc32c, np.uint32) for receipt in receipts]
            ),
            "target": pa.ListArray.from_arrays(
                np.arange(0, targets.size + 1, num_classes, dtype=np.int32), targets.ravel()
            ),
            "source_file": pa.array([file for rows in shards for file in rows.files], pa.string()),
            "source_sha256": pa.array(
                [digest.tobytes().hex() for rows in shards for digest in rows.sha256], pa.string()
            ),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=_ROW_GROUP)
    return buffer.getvalue()
