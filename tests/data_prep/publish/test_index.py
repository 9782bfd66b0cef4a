import io

import numpy as np
import pyarrow.parquet as pq

from data_prep.images import ImageOptions
from data_prep.plan import Plan, PlannedShard
from data_prep.publish.index import records_parquet
from data_prep.shard import Receipt
from orchard.formats import Targets, Task


def planned(index, *ids):
    count = len(ids)
    return PlannedShard(
        split="train",
        index=index,
        count=2,
        file=f"shard{index}",
        ids=ids,
        files=tuple(f"{image_id}.jpg" for image_id in ids),
        csv_rows=np.arange(2, 2 + count),
        targets=Targets.of_matrix(np.eye(3, dtype=np.float32)[:count]),
        num_bytes=np.ones(count, np.int64),
        crc32c=np.zeros(count, np.uint32),
        sha256=np.frombuffer(bytes(range(32)) * count, "V32"),
        reencode=np.zeros(count, bool),
        spool_offset=np.full(count, -1),
    )


def test_records_parquet_of_two_shards_has_a_row_a_record_and_offsets_within_each():
    shards = (planned(0, "a", "\u00e9"), planned(1, "c"))
    receipts = [
        Receipt("", "shard0", 100, 0, lengths=(10, 20), image_crc32c=(1, 2**32 - 1)),
        Receipt("", "shard1", 100, 0, lengths=(30,), image_crc32c=(3,)),
    ]
    plan = Plan("clothes", Task.SINGLE_LABEL, ImageOptions(), shards)
    rows = pq.read_table(io.BytesIO(records_parquet(plan, receipts))).to_pylist()
    assert [row["id"] for row in rows] == ["a", "\u00e9", "c"]
    assert [row["shard"] for row in rows] == [0, 0, 1]
    assert [row["offset"] for row in rows] == [0, 10 + 16, 0]
    assert [row["length"] for row in rows] == [10, 20, 30]
    assert [row["csv_row"] for row in rows] == [2, 3, 2]
    assert [row["image_crc32c"] for row in rows] == [1, 2**32 - 1, 3]
    assert [row["target"] for row in rows] == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert rows[1]["source_file"] == "\u00e9.jpg"
    assert rows[1]["source_sha256"] == bytes(range(32)).hex()
