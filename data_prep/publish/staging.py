"""Where a dataset grows until it is whole, the lock that keeps others out, and the commit."""

import abc
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from data_prep.plan import Plan
from data_prep.publish import destination
from data_prep.shard import Receipt, is_written, read_receipt
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import FEATURES_FILE
from orchard.parallel import Background

_STAGING = ".staging"
# Files that are flushed to the disk at a time, and the bytes that may wait for it.
_FLUSHES = 4
_MAX_UNFLUSHED_BYTES = 1 << 30


class Staging(abc.ABC):
    """The places of one dataset while it is written, and how it is published.

    Attributes:
      final_dir: where the dataset will be.
      root: where everything lies that is gone once it is finished.
      files_dir, receipts_dir: where the workers write shards and receipts.
      shards_dir: where shards are that `publish` has handed on.
      spool_path: a local file that survives until the dataset is finished.
      remote: whether `final_dir` is on gs://.
    """

    final_dir: str
    root: str
    files_dir: str
    receipts_dir: str
    shards_dir: str
    spool_path: str
    remote: bool

    @abc.abstractmethod
    def lock(self) -> AbstractContextManager[None]:
        """Keep other writers of this dataset out while the block runs.

        Raises:
          OrchardError: another writer is at work.
        """

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make the local directories."""

    @abc.abstractmethod
    def claim(self, overwrite: bool) -> None:
        """Keep out also writers on other machines, and look at what is there.

        A part of `lock` that may take a while: the workers can be at the images meanwhile. What
        they do until then is local.

        Args:
          overwrite: whether a dataset that is there may be replaced.

        Raises:
          OrchardError: another writer is at work, or something is in the way.
        """

    @abc.abstractmethod
    def is_finished(self) -> bool:
        """Whether a dataset of this name and version is published; known since `claim`."""

    @abc.abstractmethod
    def remove_finished(self) -> None:
        """Take a published dataset back, where a new one can only take its place bit by bit."""

    @abc.abstractmethod
    def written(self, plan: Plan) -> dict[int, Receipt]:
        """The receipts of the shards that are there already, whole and as the plan wants them."""

    @abc.abstractmethod
    def max_ahead(self, workers: int) -> int | None:
        """How many shards may be begun and not yet published; None: any number."""

    @abc.abstractmethod
    def publish(self, receipts: Iterator[Receipt], workers: int) -> Iterator[Receipt]:
        """Bring shards that workers have written to `shards_dir`; hands their receipts on."""

    @abc.abstractmethod
    def commit(self, files: dict[str, bytes], shards: Sequence[str], overwrite: bool) -> None:
        """Write the metadata `files` and publish; `features.json` is the last of them.

        Raises:
          OrchardError: something else was published meanwhile.
        """


def open_staging(data_dir: str, name: str, version: str, direct: bool = False) -> Staging:
    """The staging of a dataset, local or on gs://.

    Args:
      data_dir: where datasets lie.
      name: the dataset's.
      version: the dataset's.
      direct: whether workers, on other machines, write to gs:// themselves.

    Raises:
      OrchardError: Orchard only reads from there.
    """
    if storage.is_gcs(data_dir):
        from data_prep.publish.gcs_staging import GcsStaging

        return GcsStaging(data_dir, name, version, direct)
    storage.check_writable(data_dir)
    return LocalStaging(data_dir, name, version)


class LocalStaging(Staging):
    """Files grow in `<data_dir>/.staging/<name>/<version>/files`; one rename publishes them."""

    remote = False

    def __init__(self, data_dir: str, name: str, version: str) -> None:
        data_dir = os.path.abspath(data_dir)
        self.final_dir = os.path.join(data_dir, name, version)
        self.root = os.path.join(data_dir, _STAGING, name, version)
        self.files_dir = self.shards_dir = os.path.join(self.root, "files")
        self.receipts_dir = os.path.join(self.root, "receipts")
        self.spool_path = os.path.join(self.root, "spool")
        self._lock_path = os.path.join(data_dir, _STAGING, f"{name}-{version}.lock")

    def prepare(self) -> None:
        """Make the directories; what an earlier run left there stays."""
        try:
            os.makedirs(self.files_dir, exist_ok=True)
            os.makedirs(self.receipts_dir, exist_ok=True)
        except OSError as error:
            raise OrchardError(
                f"{error.filename}: {error.strerror}; choose another --data_dir"
            ) from error

    def claim(self, overwrite: bool) -> None:
        """Look at what is in the way; the lock keeps out whoever sees these files."""
        if overwrite or not self.is_finished():
            destination.check(self.root, self.final_dir, overwrite)

    def is_finished(self) -> bool:
        """Whether a dataset of this name and version is published."""
        return storage.exists(storage.join(self.final_dir, FEATURES_FILE))

    def remove_finished(self) -> None:
        """Nothing: the rename of `commit` puts the new one in its place."""

    def written(self, plan: Plan) -> dict[int, Receipt]:
        """The receipts of the shards that are whole, by their own bytes."""
        receipts = {shard: read_receipt(plan, shard) for shard in plan.shards}
        return {
            shard: receipt
            for shard, receipt in receipts.items()
            if is_written(plan, shard, receipt)
        }

    def max_ahead(self, workers: int) -> None:
        """All of them: they stay where they are."""

    def publish(self, receipts: Iterator[Receipt], workers: int) -> Iterator[Receipt]:
        """They are where they belong; they begin to go to the disk."""
        for receipt in receipts:
            self._flush(receipt.file, receipt.num_bytes)
            yield receipt

    def commit(self, files: dict[str, bytes], shards: Sequence[str], overwrite: bool) -> None:
        """Write the metadata, remove what another plan left, and rename the directory."""
        for name in storage.list_names(self.files_dir):
            if name not in shards and name not in files:
                storage.remove_tree(os.path.join(self.files_dir, name))
        for name, data in files.items():
            storage.write_bytes(os.path.join(self.files_dir, name), data, durable=False)
        for name in (*shards, *files):
            self._flush(name, 0)
        list(self._flushes.drain())
        storage.sync(self.files_dir)
        old_dir = os.path.join(self.root, "old")
        destination.take(self.files_dir, self.final_dir, old_dir, overwrite)
        storage.remove_tree(self.root)

    def _flush(self, name: str, num_bytes: int) -> None:
        """Begin to bring a file to the disk; once published, a dataset survives a power cut."""
        self._flushes.add(os.path.join(self.files_dir, name), num_bytes)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers out while the block runs; a dead writer's lock is free.

        Raises:
          OrchardError: another writer is at work.
        """
        with (
            storage.lock(self._lock_path, self.final_dir, "choose another --data_dir"),
            Background(storage.sync, _MAX_UNFLUSHED_BYTES, _FLUSHES) as self._flushes,
        ):
            yield
