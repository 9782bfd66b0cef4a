"""What a prepared dataset says about itself; for training and ensembling, without TensorFlow."""

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from orchard import storage
from orchard.errors import OrchardError, in_one_line
from orchard.formats.json_record import JsonRecord
from orchard.formats.kinds import Task

if TYPE_CHECKING:
    import pandas
    import pyarrow

MANIFEST_FILE = "manifest.json"
RECORDS_FILE = "records.parquet"
FEATURES_FILE = "features.json"
DATASET_INFO_FILE = "dataset_info.json"
REPORT_FILE = "report.html"
CROISSANT_FILE = "croissant.json"
RUN_LOG_FILE = "run_log.json"
QUARANTINE_FILE = "quarantine.csv"
RECORDS_COLUMNS = (
    "id split shard offset length csv_row image_crc32c target source_file source_sha256".split()
)

# The fold of each record in each further dealing-out, where --fold_repeats asked for some.
REPEATS_COLUMN = "repeat_folds"
# The difference hash of each image, where --near_duplicates asked for it.
DIFFERENCE_HASH_COLUMN = "difference_hash"

_AGAIN = "run its data_prep.main command again, with --overwrite"


@dataclass(frozen=True)
class ShardInfo:
    """One shard: file name within the dataset, records, bytes and crc32c of the whole file."""

    file: str
    num_records: int
    num_bytes: int
    crc32c: int


@dataclass(frozen=True)
class FileInfo:
    """A file beside the shards: bytes and crc32c of all of it."""

    num_bytes: int
    crc32c: int


@dataclass(frozen=True)
class SplitInfo:
    """One split: its shards in order, and the sum of its targets per class (0: unlabeled)."""

    shards: tuple[ShardInfo, ...]
    labelled: bool
    class_counts: tuple[float, ...]

    @property
    def num_records(self) -> int:
        """Records in all shards of the split."""
        return sum(shard.num_records for shard in self.shards)


@dataclass(frozen=True)
class Lineage:
    """How a version came from an older one (`--extends`).

    Attributes:
        version: the older one's, X.Y.Z.
        fingerprint: the older one's.
        library_versions: those that decided the older one's bytes.
        kept_shards: shards that were taken over as they were.
        rewritten_shards: shards that hold what is left of an older one, or other labels.
        new_shards: shards of added records.
        added: records whose ids the older version did not have.
        relabeled: records with other labels.
        withdrawn: records of the older version that are gone.
        shards: by file, the older version's file whose records it holds; empty where a still newer
            version renamed them.
    """

    version: str
    fingerprint: str
    library_versions: dict[str, str]
    kept_shards: int
    rewritten_shards: int
    new_shards: int
    added: int
    relabeled: int
    withdrawn: int
    shards: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest(JsonRecord):
    """The content of `manifest.json`.

    Attributes:
        name: of the dataset.
        version: of the dataset, X.Y.Z.
        fingerprint: SHA-256 (hex) of all that decides the data: the content of CSV and images, the
            settings, and the versions of the libraries that split and encode.
        task: what the labels mean.
        class_names: the classes, in the targets' order.
        splits: by name, in the dataset's order.
        settings: what the flags were.
        inputs: digests and counts of the CSVs and their images.
        library_versions: of the libraries that decide the bytes.
        files: by name, all that lies beside the shards but the manifest and `run_log.json`; empty
            in datasets that were written before there was such a list.
        has_targets: whether records and index have `target`. Where they have not, `label` says it
            all, and `schema_version` is 2, which an Orchard that looks for `target` refuses; else
            the file does not have this field.
        lineage: the steps by which the dataset grew, the oldest first; the file has this field only
            where there are any.
    """

    REMEDY: ClassVar[str] = _AGAIN
    ALSO_READS: ClassVar[tuple[int, ...]] = (2,)

    name: str
    version: str
    fingerprint: str
    task: Task
    class_names: tuple[str, ...]
    splits: dict[str, SplitInfo]
    settings: dict[str, Any]
    inputs: dict[str, Any]
    library_versions: dict[str, str]
    files: dict[str, FileInfo] = field(default_factory=dict)
    has_targets: bool = True
    lineage: tuple[Lineage, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values, for `storage.write_json`; `from_json` is the way back."""
        # JSON objects have no order of their own once keys are sorted.
        value = super().to_json() | {"split_order": list(self.splits)}
        if not self.lineage:
            del value["lineage"]
        if self.has_targets:
            del value["has_targets"]
            return value
        return value | {"schema_version": 2}

    @classmethod
    def _fields_of(cls, value: dict[str, Any]) -> dict[str, Any]:
        order, splits = value.get("split_order"), value.get("splits")
        if not isinstance(splits, dict) or not isinstance(order, list):
            raise ValueError("splits or split_order is missing")
        if sorted(splits) != sorted(map(str, order)):
            raise ValueError(f"split_order is {order!r}, but the splits are {sorted(splits)}")
        fields = {name: one for name, one in value.items() if name != "split_order"}
        return fields | {"splits": {name: splits[name] for name in order}}


def load_manifest(dataset_dir: str) -> Manifest:
    """The manifest of a finished dataset.

    Raises:
        OrchardError: no such directory, not ours, unfinished, or of another schema.
    """
    path = storage.join(dataset_dir, MANIFEST_FILE)
    if not storage.exists(path):
        what = "holds no manifest.json" if storage.exists(dataset_dir) else "does not exist"
        advice = "pass the directory that data_prep.main printed, DATA_DIR/NAME/VERSION"
        if storage.exists(storage.join(dataset_dir, FEATURES_FILE)):
            advice += f"; if it is this one, {_AGAIN}"
        raise OrchardError(f"{dataset_dir} {what}; {advice}")
    if not storage.exists(storage.join(dataset_dir, FEATURES_FILE)):
        raise OrchardError(
            f"{dataset_dir} is incomplete: {FEATURES_FILE}, written last, is missing; {_AGAIN}"
        )
    return Manifest.load(path)


def load_records(dataset_dir: str) -> "pandas.DataFrame":
    """The index of all records, in shard and offset order, splits in the manifest's order.

    Columns: `id`, `split` (string), `shard` (int32, index within the split), `offset` (int64, of
    the record in the shard file, as `RecordFormat.offsets` counts), `length` (int32, bytes of the
    serialized tf.train.Example), `csv_row` (int64, the header is row 1),
    `image_crc32c` (uint32, of the JPEG bytes in the record), `target` (float32 [num_classes], -1
    everywhere: unlabeled) or, where the manifest says that there are no targets, `label` (int32,
    the class, -1: unlabeled), `source_file` (string, within the images folder) and `source_sha256`
    (hex, of that file's content). `Targets.of_index` reads the labels of both. With --fold_repeats
    there is `repeat_folds` too (list of int16): the fold of the record in the second dealing-out,
    the third, ...; -1: in none. With --near_duplicates there is `difference_hash` (hex).

    Raises:
        OrchardError: there is no index, or it was damaged.
    """
    return read_index(dataset_dir).to_pandas()


def read_index(dataset_dir: str) -> "pyarrow.Table":
    """The same as `load_records`, as Arrow has it: without pandas, and faster to take apart.

    Raises:
        OrchardError: there is no index, or it was damaged.
    """
    import pyarrow.parquet

    path = storage.join(dataset_dir, RECORDS_FILE)
    if not storage.exists(path):
        raise OrchardError(f"{dataset_dir} holds no {RECORDS_FILE}; {_AGAIN}")
    content = io.BytesIO(storage.read_bytes(path))
    try:
        records = pyarrow.parquet.ParquetFile(content).read()  # `read_table` imports pandas.
        records.validate(full=True)  # Reading alone does not notice texts that are no UTF-8.
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = in_one_line(error)
        raise OrchardError(f"{path} was damaged ({reason}); {_AGAIN}") from error
    columns = records.column_names
    there = {*columns, *(("target",) if "label" in columns else ())}
    if missing := [name for name in RECORDS_COLUMNS if name not in there]:
        raise OrchardError(f"{path} has no column {missing[0]!r}; {_AGAIN}")
    return records
