"""A dataset on a local disk: files grow in `.staging`, and one rename publishes them all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from data_prep.plan import Plan
from data_prep.publish import destination
from data_prep.publish.staging import Claim, Publisher, Staging
from data_prep.shard import Receipt, read_receipt
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import FEATURES_FILE
from orchard.parallel import Background

_STAGING = ".staging"
# Files that are flushed to the disk at a time, and the bytes that may wait for it.
_FLUSHES = 4
_MAX_UNFLUSHED_BYTES = 1 << 30


class LocalStaging(Staging):
    """Files grow in `<data_dir>/.staging/<name>/<version>/files`."""

    def __init__(self, data_dir: str, name: str, version: str) -> None:
        data_dir = os.path.abspath(data_dir)
        self.final_dir = os.path.join(data_dir, name, version)
        self.root = os.path.join(data_dir, _STAGING, name, version)
        self.files_dir = os.path.join(self.root, "files")
        self.receipts_dir = os.path.join(self.root, "receipts")
        self.spool_path = os.path.join(self.root, "spool")
        self._lock_path = os.path.join(data_dir, _STAGING, f"{name}-{version}.lock")

    @contextmanager
    def lock(self) -> Iterator[Claim]:
        """Keep other writers out while the block runs; a dead writer's lock is free.

        Shards of an earlier run stay where they are.

        Raises:
            OrchardError: another writer is at work, or the directories cannot be made.
        """
        with (
            storage.lock(self._lock_path, self.final_dir, "choose another --data_dir"),
            Background(storage.sync, _MAX_UNFLUSHED_BYTES, _FLUSHES) as flushes,
        ):
            try:
                os.makedirs(self.files_dir, exist_ok=True)
                os.makedirs(self.receipts_dir, exist_ok=True)
            except OSError as error:
                raise OrchardError(
                    f"{error.filename}: {error.strerror}; choose another --data_dir"
                ) from error
            try:
                yield partial(self.claim, flushes)
            finally:
                storage.remove_tree(self.spool_path)

    def claim(self, flushes: "Background[str, None]", overwrite: bool) -> "LocalPublisher":
        """Look at what is in the way; the lock keeps out other machines, too, on a shared disk."""
        publisher = LocalPublisher(self, flushes)
        if overwrite or not publisher.is_finished:
            destination.check(self.root, self.final_dir, overwrite)
        return publisher


class LocalPublisher(Publisher):
    """Publishes by a rename; once published, a dataset survives a power cut."""

    def __init__(self, staging: LocalStaging, flushes: "Background[str, None]") -> None:
        self.shards_dir = staging.files_dir
        self._staging = staging
        self._flushes = flushes

    @property
    def is_finished(self) -> bool:
        """Whether a dataset of this name and version is published already."""
        return storage.exists(storage.join(self._staging.final_dir, FEATURES_FILE))

    def remove_finished(self) -> None:
        """Do nothing: the rename in `commit` replaces the old dataset."""

    def written(self, plan: Plan) -> dict[str, Receipt]:
        """By file, the receipts of the shards that are whole, by their own bytes."""
        result = {}
        for shard in plan.shards:
            receipt = read_receipt(self._staging.receipts_dir, shard)
            path = storage.join(self.shards_dir, shard.file)
            if receipt and storage.size_and_crc32c(path) == (receipt.num_bytes, receipt.crc32c):
                result[shard.file] = receipt
        return result

    def max_ahead(self, workers: int) -> None:
        """No limit: shards stay where they are written."""

    def publish(self, receipts: Iterator[Receipt], workers: int) -> Iterator[Receipt]:
        """Start to flush the shards to the disk; they are in their place already."""
        for receipt in receipts:
            self._flush(receipt.file, receipt.num_bytes)
            yield receipt

    def commit(self, files: dict[str, bytes], shards: Sequence[str], overwrite: bool) -> None:
        """Write the metadata, remove what another plan left, and rename the directory."""
        for name in storage.list_names(self.shards_dir):
            if name not in shards and name not in files:
                storage.remove_tree(os.path.join(self.shards_dir, name))
        for name, data in files.items():
            storage.write_bytes(os.path.join(self.shards_dir, name), data, durable=False)
        for name in (*shards, *files):
            self._flush(name, 0)
        list(self._flushes.drain())
        storage.sync(self.shards_dir)
        root = self._staging.root
        old_dir = os.path.join(root, "old")
        destination.take(self.shards_dir, self._staging.final_dir, old_dir, overwrite)
        storage.remove_tree(root)

    def _flush(self, name: str, num_bytes: int) -> None:
        self._flushes.add(os.path.join(self.shards_dir, name), num_bytes)
