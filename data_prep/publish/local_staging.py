"""A dataset on a local disk: files grow in `.staging`, and one rename publishes them all."""

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from data_prep.plan import PlannedShard
from data_prep.publish import destination, links
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
        self._data_dir = data_dir
        self._scratch = ""
        if _is_readable_only(data_dir, self.final_dir):
            # Whether it is what this run would make can be found out all the same.
            self._scratch = data_dir = tempfile.mkdtemp(prefix="orchard-")
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
        if not self._scratch:
            _share(self._data_dir, os.path.dirname(self.root))
            _share_file(self._data_dir, self._lock_path)
        with (
            storage.lock(self._lock_path, self.final_dir, "choose another --data_dir"),
            Background(storage.sync, _MAX_UNFLUSHED_BYTES, _FLUSHES) as flushes,
        ):
            if not self._scratch:
                _share(self._data_dir, self.files_dir)
                _share(self._data_dir, self.receipts_dir)
                _remove_unwritable(self.root)
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
                if self._scratch:
                    storage.remove_tree(self._scratch)

    def share_final_parent(self) -> None:
        """Make the folder of the dataset's name, as open as the data_dir is."""
        _share(self._data_dir, os.path.dirname(self.final_dir))

    def claim(self, flushes: "Background[str, None]", overwrite: bool) -> "LocalPublisher":
        """Look at what is in the way; the lock keeps out other machines, too, on a shared disk."""
        publisher = LocalPublisher(self, flushes)
        if self._scratch and overwrite:
            raise OrchardError(
                f"{self._data_dir} does not take a dataset (no permission to write); choose "
                "another --data_dir"
            )
        if overwrite or not publisher.is_finished:
            destination.check(self.root, self.final_dir, overwrite)
        return publisher


def _is_readable_only(data_dir: str, final_dir: str) -> bool:
    """Whether a dataset is finished in a folder of others, who do not let us write there."""
    finished = storage.exists(os.path.join(final_dir, FEATURES_FILE))
    staging = os.path.join(data_dir, _STAGING)
    places = (data_dir, *((staging,) if os.path.isdir(staging) else ()))
    return finished and not all(os.access(place, os.W_OK | os.X_OK) for place in places)


def _share(data_dir: str, folder: str) -> None:
    """Make a folder below `data_dir`; where a group shares that, it shares what is made, too."""
    missing = []
    while folder != data_dir and not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    try:
        for one in reversed(missing):
            os.makedirs(one, exist_ok=True)
            if _is_shared(data_dir):
                os.chmod(one, stat.S_IMODE(os.stat(data_dir).st_mode))
    except OSError as error:
        raise OrchardError(f"{error.filename}: {error.strerror}; choose another --data_dir") from (
            error
        )


def _share_file(data_dir: str, path: str) -> None:
    """The lock file, which stays: the next in the group must be able to open it."""
    if _is_shared(data_dir) and not os.path.lexists(path):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o664))
        os.chmod(path, 0o664)


def _remove_unwritable(root: str) -> None:
    """Files that another of the group left, killed, and that only they could write again."""
    for folder, _, names in os.walk(root):
        for path in (os.path.join(folder, name) for name in names):
            if not os.access(path, os.W_OK):
                try:
                    os.remove(path)
                except OSError as error:
                    raise OrchardError(
                        f"{path}: {error.strerror}; ask its owner to remove {root}, or choose "
                        "another --data_dir"
                    ) from error


def _is_shared(data_dir: str) -> bool:
    """Whether a folder is a group's: its members may write, and all in it is the group's."""
    mode = os.stat(data_dir).st_mode if os.path.isdir(data_dir) else 0
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP)


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

    def take_over(self, shards: Sequence[PlannedShard], base_dir: str) -> None:
        """Link the files; copy them where that is not possible."""
        for shard in shards:
            assert shard.old is not None
            source = storage.join(base_dir, shard.old.shard.file)
            links.take_over_file(source, os.path.join(self.shards_dir, shard.file), shard.old.shard)
            self._flush(shard.file, 0)

    def written(self, shards: Sequence[PlannedShard]) -> dict[str, Receipt]:
        """By file, the receipts of the shards that are whole, by their own bytes."""
        result = {}
        for shard in shards:
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
        self._staging.share_final_parent()
        root = self._staging.root
        old_dir = os.path.join(root, "old")
        destination.take(self.shards_dir, self._staging.final_dir, old_dir, overwrite)
        storage.remove_tree(root)

    def _flush(self, name: str, num_bytes: int) -> None:
        self._flushes.add(os.path.join(self.shards_dir, name), num_bytes)
