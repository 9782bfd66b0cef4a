"""How records become batches: the options, and what they come to for a dataset."""

from dataclasses import dataclass, field
from typing import Any

from orchard import storage
from orchard.errors import OrchardError
from trainer.data import order
from trainer.data.decode import RESIZES
from trainer.data.order import OrderOptions
from trainer.data.records import RecordTable

READERS = ("auto", "local", "block")
CACHES = ("none", "ram")
ON_BAD_RECORD = ("fail", "skip")


def _flag(default: Any, help_text: str, choices: tuple = ()) -> Any:
    return field(default=default, metadata={"help": help_text, "choices": choices})


@dataclass(frozen=True)
class InputOptions:
    """How records become batches. Raises OrchardError for values that cannot be.

    Attributes:
        height_px: rows of every image.
        width_px: columns of every image.
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
        order: lanes, blocks and windows; None: from reader, records and batch.
    """

    height_px: int
    width_px: int
    resize: str = _flag("squash", "How an image meets the size.", RESIZES)
    exact_decode: bool = _flag(False, "Decode JPEGs at full scale before every resize.")
    reader: str = _flag("auto", "How records are read.", READERS)
    cache: str = _flag("none", "ram: hold the encoded files in memory.", CACHES)
    cache_dir: str = _flag("", "Local directory for a verified copy of the shards.")
    on_bad_record: str = _flag("fail", "What a damaged record does.", ON_BAD_RECORD)
    threads: int = _flag(0, "Decoding threads; 0: one a core.")
    order: OrderOptions | None = None

    def __post_init__(self):
        for name in ("height_px", "width_px"):
            if getattr(self, name) < 1:
                raise OrchardError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.threads < 0:
            raise OrchardError(f"threads is {self.threads}; it must be 0 (one a core) or more")
        for name in ("resize", "reader", "cache", "on_bad_record"):
            choices = self.__dataclass_fields__[name].metadata["choices"]
            if getattr(self, name) not in choices:
                raise OrchardError(
                    f"{name} is {getattr(self, name)!r}; choose one of {', '.join(choices)}"
                )
        if self.reader == "block" and (self.cache != "none" or self.cache_dir):
            raise OrchardError(
                "reader=block reads the shards where they are; drop cache and cache_dir, or it"
            )
        if self.cache != "none" and self.cache_dir:
            raise OrchardError("cache=ram and cache_dir exclude each other; choose one")

    @property
    def tolerant(self) -> bool:
        """Whether damaged records are skipped."""
        return self.on_bad_record == "skip"


def reads_blocks(records: RecordTable, options: InputOptions) -> bool:
    """Whether the block reader is what "auto" comes to; depends on options and paths alone."""
    if options.reader != "auto":
        return options.reader == "block"
    remote = any(storage.is_remote(path) for path in records.files)
    return remote and options.cache == "none" and not options.cache_dir


def order_options(records: RecordTable, options: InputOptions, batch_size: int) -> OrderOptions:
    """The order of the training stream: a function of options, records and global batch."""
    if options.order:
        return options.order
    if reads_blocks(records, options):
        return order.block_options(len(records), records.num_bytes / len(records), batch_size)
    return order.random_access_options()
