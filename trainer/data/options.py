"""What to train on and how records become batches: the options, and what they come to."""

from dataclasses import dataclass, field

from orchard import storage
from orchard.errors import OrchardError
from orchard.flags import Kind, Options, option, required
from orchard.formats import NO_SPLIT
from trainer.data import order
from trainer.data.order import OrderOptions
from trainer.data.records import RecordTable

RESIZES = ("squash", "crop", "pad")

ALL_FOLDS = "all"


@dataclass(frozen=True, kw_only=True)
class DatasetOptions(Options, group="data"):
    """Which records are trained and evaluated on, and with what targets."""

    dataset: str = field(
        metadata=required(
            "Dataset directory, DATA_DIR/NAME/VERSION: a local path or a URL (gs://, s3://, ...).",
            kind=Kind.BOOKKEEPING,
        )
    )
    fold: str = option(
        "",
        "Fold to evaluate on, trained on the others: 0, 1, ...; all: each in turn; none: train on "
        "all of them.",
        kind=Kind.RESOLVED,
        common=True,
    )
    refit: int = option(
        0,
        "Networks, of one seed each, to train on all rows: after --fold=all for as long as the "
        "folds found best, or with --fold=none (--eval_split=none) alone.",
        at_least=0,
        kind=Kind.BOOKKEEPING,
        common=True,
    )
    fold_repeat: int = option(
        0,
        "With --fold: 0 takes the folds that are splits of the dataset, 1 and up those of its "
        "further repeats (data_prep.main --fold_repeats).",
        at_least=0,
    )
    train_split: str = option(
        "", "Splits to train on, such as train or fold1+fold2.", kind=Kind.RESOLVED
    )
    eval_split: str = option(
        "",
        "Splits to evaluate on; none: train on everything and keep the last weights.",
        kind=Kind.RESOLVED,
    )
    soft_labels: str = option("", "CSV of id and one probability a class, mixed into the targets.")
    soft_labels_weight: float = option(
        0.3, "Share of --soft_labels in the targets, 0..1.", at_least=0, at_most=1
    )

    def check(self) -> None:
        """Refuse two ways to choose the splits, and folds that cannot be."""
        super().check()
        if self.fold and (self.train_split or self.eval_split):
            raise OrchardError("--fold chooses the splits; drop it, or --train_split/--eval_split")
        if self.fold_repeat and not self.fold:
            raise OrchardError(
                f"--fold_repeat={self.fold_repeat} is of folds: add --fold=0, 1, ..., all or none"
            )
        if self.fold not in ("", ALL_FOLDS, NO_SPLIT) and not self.fold.isdigit():
            raise OrchardError(f"--fold={self.fold}: choose 0, 1, 2, ..., all or none")
        if self.refit and self.fold != ALL_FOLDS and not self._trains_on_everything:
            raise OrchardError(
                f"--refit={self.refit} trains on all rows: after the folds with --fold=all, or "
                "alone with --fold=none (--eval_split=none where there are no folds); give one of "
                "them"
            )

    @property
    def _trains_on_everything(self) -> bool:
        return NO_SPLIT in (self.fold, self.eval_split)


@dataclass(frozen=True, kw_only=True)
class ReadOptions(Options, group="data"):
    """How records are read and decoded.

    Attributes:
        resize: see `trainer.data.decode.decode_image`.
        exact_decode: full-scale accurate decode and antialiased resize, as Pillow gives; slower.
        reader: "local" reads single records, in a uniformly random order; "block" reads blocks in
            TensorFlow ops alone. The two have orders of their own: keep it for a run's whole life.
            "auto": block for gs:// without a cache, else local.
        cache: "ram" holds the encoded files in memory: for slow or remote disks and data that fits.
        cache_dir: local directory for a verified copy of the shards: for gs:// where the disk is
            large enough.
        on_bad_record: "skip" gives a damaged record weight 0, names it and goes on.
        threads: decoding threads of this process; 0: one a core.
    """

    resize: str = option("squash", "How an image is fitted to --image_size.", choices=RESIZES)
    exact_decode: bool = option(False, "Decode JPEGs at full scale before every resize.")
    reader: str = option(
        "auto",
        "How records are read: each has an order of its own.",
        choices=("auto", "local", "block"),
    )
    cache: str = option(
        "none",
        "ram: hold the encoded files in memory.",
        choices=("none", "ram"),
        kind=Kind.BOOKKEEPING,
    )
    cache_dir: str = option(
        "", "Local directory for a verified copy of the shards.", kind=Kind.BOOKKEEPING
    )
    on_bad_record: str = option(
        "fail", "What to do about a damaged record.", choices=("fail", "skip")
    )
    threads: int = option(
        0,
        "Decoding threads; 0: one a core.",
        at_least=0,
        at_most=10_000,
        kind=Kind.BOOKKEEPING,
    )

    def check(self) -> None:
        """Refuse a cache that the reader would not use, and two caches."""
        super().check()
        if self.reader == "block" and (self.cache != "none" or self.cache_dir):
            raise OrchardError("--reader=block excludes --cache and --cache_dir; remove one")
        if self.cache != "none" and self.cache_dir:
            raise OrchardError("--cache=ram and --cache_dir exclude each other; choose one")

    @property
    def tolerant(self) -> bool:
        """Whether damaged records are skipped."""
        return self.on_bad_record == "skip"


@dataclass(frozen=True)
class InputOptions(ReadOptions):
    """How records become batches of images of one size.

    Attributes:
        height_px: rows of every image.
        width_px: columns of every image.
        order: lanes, blocks and windows; None: from reader, records and batch.
    """

    height_px: int = field(metadata=required("Rows of every image.", at_least=1))
    width_px: int = field(metadata=required("Columns of every image.", at_least=1))
    order: OrderOptions | None = None


def reads_blocks(records: RecordTable, options: InputOptions) -> bool:
    """Whether the block reader is what "auto" comes to; depends on options and paths alone.

    Raises:
        OrchardError: the shards are where the reader cannot read them.
    """
    if options.cache != "none" or options.cache_dir:
        return False
    remote = any(map(storage.is_remote, records.files))
    blocks = options.reader == "block" or (options.reader == "auto" and remote)
    if blocks and not records.form.tensorflow_reads:
        raise OrchardError(
            f"{records.files[0]}: {records.form.name} files cannot be read by --reader=block, nor "
            "from gs:// without a cache; copy them to a local disk with --cache_dir=DIR, or into "
            "memory with --cache=ram"
        )
    for path in records.files:
        if not (storage.tensorflow_reads(path) if blocks else not storage.is_remote(path)):
            raise OrchardError(
                f"{path}: --reader={'block' if blocks else 'local'} cannot read shards there; copy "
                "them to a local disk with --cache_dir=DIR, or into memory with --cache=ram"
            )
    return blocks


def order_options(records: RecordTable, options: InputOptions, batch_size: int) -> OrderOptions:
    """The order of the training stream: a function of options, records and global batch."""
    if options.order:
        return options.order
    if reads_blocks(records, options):
        return order.block_options(len(records), records.num_bytes / len(records), batch_size)
    return order.random_access_options()
