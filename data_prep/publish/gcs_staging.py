"""A dataset on gs://, where nothing can be renamed: shards when finished, all else last.

`features.json`, without which TFDS sees no dataset, is the last object of all. Every object is
written against the generation that was seen there, by the holder of the dataset's lock.
"""

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from data_prep.plan import PlannedShard
from data_prep.publish import links
from data_prep.publish.staging import Claim, Publisher, Staging
from data_prep.shard import Receipt, read_receipt, receipt_path
from orchard import json_text, storage
from orchard.errors import OrchardError
from orchard.formats import FEATURES_FILE
from orchard.parallel import REQUEST_THREADS, Background, in_parallel
from orchard.storage import gcs

# The fingerprint of files that are not shards.
_NO_SHARD = "metadata"
# A receipt of few records is kept in its shard's metadata, of which an object may have 8 KiB.
_RECEIPT_KEY = "orchard-receipt"
_MAX_METADATA_BYTES = 6 << 10
_MIN_WAITING_BYTES = 64 << 20
_ADVICE = "set TMPDIR to a folder on a disk with room"


class GcsStaging(Staging):
    """The places of one dataset on gs://.

    Workers write to `files_dir` and `receipts_dir`, in the local temporary folder; what is there at
    one time is bounded by `GcsPublisher.publish`. A shard's receipt is kept as metadata of its
    object, or, where it is too long, in `<data_dir>/.staging/<name>/<version>` until the dataset is
    whole: any machine can go on.

    With `direct`, the workers are on other machines: they upload shards and receipts themselves,
    and `publish` only asks the bucket what came of it.
    """

    def __init__(self, data_dir: str, name: str, version: str, direct: bool = False) -> None:
        self.final_dir = storage.join(data_dir, name, version)
        self.root = storage.join(data_dir, ".staging", name, version)
        self.remote_receipts_dir = storage.join(self.root, "receipts")
        self.direct = direct
        self._lock_path = storage.join(data_dir, ".staging", f"{name}-{version}.lock")
        self._scratch = storage.scratch_path(self.final_dir)
        self.spool_path = os.path.join(self._scratch, "spool")
        if direct:
            self.files_dir, self.receipts_dir = self.final_dir, self.remote_receipts_dir
        else:
            self.files_dir = os.path.join(self._scratch, "files")
            self.receipts_dir = os.path.join(self._scratch, "receipts")

    @contextmanager
    def lock(self) -> Iterator[Claim]:
        """Keep other writers on this machine out while the block runs; elsewhere since `claim`.

        The local folders are made empty: what an earlier run left there was not uploaded.

        Raises:
            OrchardError: another writer is at work.
        """
        with (
            storage.lock(f"{self._scratch}.lock", self.final_dir, _ADVICE),
            _temporary_folder(self._scratch),
            ExitStack() as locks,
        ):
            os.mkdir(os.path.join(self._scratch, "files"))
            os.mkdir(os.path.join(self._scratch, "receipts"))
            remote_lock = storage.lock(self._lock_path, self.final_dir, _ADVICE)
            if self.direct:
                # Their workers are on other machines from the start.
                lock = locks.enter_context(remote_lock)
                yield functools.partial(self.claim, lambda: lock)
            else:
                yield functools.partial(self.claim, lambda: locks.enter_context(remote_lock))

    def claim(self, take_lock: Callable[[], storage.Lock], overwrite: bool) -> "GcsPublisher":
        """Take the lock that other machines see, and list what is there.

        Raises:
            OrchardError: another writer is at work, or something is there that we did not write.
        """
        lock = take_lock()
        publisher = GcsPublisher(self, lock, gcs.list_objects(self.final_dir + "/"))
        if overwrite or not publisher.is_finished:
            publisher.refuse_foreign_objects()
        return publisher


class GcsPublisher(Publisher):
    """Publishes object by object, `features.json` last.

    Args:
        staging: the dataset's places.
        lock: held for as long as this object is used.
        objects: what is in the bucket, by file name.
    """

    def __init__(
        self, staging: GcsStaging, lock: storage.Lock, objects: dict[str, gcs.ObjectInfo]
    ) -> None:
        self.shards_dir = staging.final_dir
        self._staging = staging
        self._lock = lock
        # What is known to be in the bucket: found there, then uploaded.
        self._objects = objects

    @property
    def is_finished(self) -> bool:
        """Whether a dataset of this name and version was published when the bucket was listed."""
        return FEATURES_FILE in self._objects

    def refuse_foreign_objects(self) -> None:
        """Refuse to write beside objects that are not ours.

        Raises:
            OrchardError: there is one.
        """
        for found in self._objects.values():
            _refuse_foreign(found)

    def take_over(self, shards: Sequence[PlannedShard], base_dir: str) -> None:
        """Have the service copy the objects; a version that lies elsewhere is uploaded."""
        in_parallel(lambda shard: self._take_over(shard, base_dir), shards)

    def _take_over(self, shard: PlannedShard, base_dir: str) -> None:
        assert shard.old is not None
        was, found = shard.old.shard, self._objects.get(shard.file)
        content = (was.num_bytes, was.crc32c)
        if found and self._has_shard(shard) and (found.num_bytes, found.crc32c) == content:
            return
        self._lock.raise_if_lost()
        source, target = storage.join(base_dir, was.file), self._path(shard.file)
        links.check_source(source, was)
        metadata = {gcs.FINGERPRINT_KEY: shard.fingerprint}
        generation = self._generation(shard.file)
        if storage.is_gcs(source):
            copied = gcs.copy(source, target, was.crc32c, generation, metadata)
        else:
            with storage.local_copy(source) as local:
                copied = gcs.upload_file(local, target, was.crc32c, generation, metadata)
        self._objects[shard.file] = copied

    def written(self, shards: Sequence[PlannedShard]) -> dict[str, Receipt]:
        """By file, the receipts of the shards in the bucket, by the bucket's own checksums."""
        candidates = [shard for shard in shards if self._has_shard(shard)]
        receipts = in_parallel(self._read_receipt, candidates)
        return {receipt.file: receipt for receipt in receipts if receipt is not None}

    def _has_shard(self, shard: PlannedShard) -> bool:
        found = self._objects.get(shard.file)
        return found is not None and found.metadata.get(gcs.FINGERPRINT_KEY) == shard.fingerprint

    def _read_receipt(self, shard: PlannedShard) -> Receipt | None:
        found = self._objects[shard.file]
        if _RECEIPT_KEY in found.metadata:
            receipt = _parse_receipt(found.metadata[_RECEIPT_KEY])
        else:
            receipt = read_receipt(self._staging.remote_receipts_dir, shard)
        if receipt is None or receipt.fingerprint != shard.fingerprint:
            return None
        agrees = (receipt.num_bytes, receipt.crc32c) == (found.num_bytes, found.crc32c)
        return receipt if agrees else None

    def max_ahead(self, workers: int) -> int:
        """One a worker, and one more so that none has to wait for us."""
        return workers + 1

    def publish(self, receipts: Iterator[Receipt], workers: int) -> Iterator[Receipt]:
        """Upload shards as their receipts come in, and hand the receipts of uploaded ones on.

        What waits on the local disk stays below `workers` shards (or a few small ones): only then
        the next one is asked for.
        """
        if self._staging.direct:
            yield from map(self._check_uploaded, receipts)
            return
        largest = 0
        with Background(self._upload_shard, _MIN_WAITING_BYTES, REQUEST_THREADS) as uploads:
            for receipt in receipts:
                largest = max(largest, receipt.num_bytes)
                uploads.max_waiting_bytes = max(_MIN_WAITING_BYTES, workers * largest)
                yield from uploads.add(receipt, receipt.num_bytes)
            yield from uploads.drain()

    def _upload_shard(self, receipt: Receipt) -> Receipt:
        self._lock.raise_if_lost()
        metadata = {gcs.FINGERPRINT_KEY: receipt.fingerprint}
        text = json.dumps(vars(receipt))
        if len(text) <= _MAX_METADATA_BYTES:
            metadata[_RECEIPT_KEY] = text
        else:
            # Before its shard, which must not be written again for want of it.
            path = receipt_path(self._staging.remote_receipts_dir, receipt.file)
            storage.write_bytes(path, text.encode())
        local = os.path.join(self._staging.files_dir, receipt.file)
        self._objects[receipt.file] = gcs.upload_file(
            local,
            self._path(receipt.file),
            receipt.crc32c,
            self._generation(receipt.file),
            metadata,
        )
        os.remove(local)
        return receipt

    def _check_uploaded(self, receipt: Receipt) -> Receipt:
        found = gcs.stat(self._path(receipt.file))
        if found is None or (found.num_bytes, found.crc32c) != (receipt.num_bytes, receipt.crc32c):
            raise OrchardError(
                f"{self._path(receipt.file)} is not what the worker wrote; run the command again"
            )
        self._objects[receipt.file] = found
        return receipt

    def remove_finished(self) -> None:
        """Unpublish the dataset: without `features.json` it is not there."""
        features = self._objects.pop(FEATURES_FILE)
        gcs.delete(features.path, features.generation)

    def commit(self, files: dict[str, bytes], shards: Sequence[str], overwrite: bool) -> None:
        """Upload the metadata `files`, check that all is there and nothing else, and publish.

        Raises:
            OrchardError: another writer was here; the dataset is not published by us.
        """
        del overwrite  # What was there is gone since `remove_finished`.
        rest = {name: data for name, data in files.items() if name != FEATURES_FILE}
        in_parallel(lambda item: self._upload_metadata(*item), list(rest.items()))
        # Two requests at a time, where the second does not depend on the first.
        _at_once(self._lock.check, lambda: self._check_all_is_ours({*shards, *rest}))
        notes: list[gcs.ObjectInfo] = []
        _at_once(
            lambda: self._upload_metadata(FEATURES_FILE, files[FEATURES_FILE]),
            lambda: notes.extend(gcs.list_objects(self._staging.root + "/").values()),
        )
        in_parallel(lambda note: gcs.delete(note.path), notes)

    def _upload_metadata(self, name: str, data: bytes) -> None:
        self._objects[name] = gcs.write_bytes(
            self._path(name), data, self._generation(name), {gcs.FINGERPRINT_KEY: _NO_SHARD}
        )

    def _check_all_is_ours(self, wanted: set[str]) -> None:
        """Compare what is there with what we put there; remove what earlier plans left."""
        found = gcs.list_objects(self.shards_dir + "/")
        for name in wanted:
            if found.get(name) != self._objects[name]:
                raise OrchardError(
                    f"{self._path(name)} was replaced or removed by another process while the "
                    "dataset was written; run the same command again"
                )
        for name in found.keys() - wanted:
            _refuse_foreign(found[name])
            gcs.delete(found[name].path, found[name].generation)

    def _generation(self, name: str) -> int:
        found = self._objects.get(name)
        return found.generation if found else gcs.ABSENT

    def _path(self, name: str) -> str:
        return storage.join(self.shards_dir, name)


def _at_once(*steps: Callable[[], None]) -> None:
    in_parallel(lambda step: step(), steps)


def _parse_receipt(text: str) -> Receipt | None:
    try:
        return Receipt.from_json(json_text.loads(text))
    except (ValueError, TypeError, KeyError):
        return None  # Edited by hand: its shard is written again.


def _refuse_foreign(found: gcs.ObjectInfo) -> None:
    if gcs.FINGERPRINT_KEY not in found.metadata:
        raise OrchardError(
            f"{found.path} is in the way and was not written by data_prep; remove it, or choose "
            "another --version"
        )


@contextmanager
def _temporary_folder(path: str) -> Iterator[None]:
    shutil.rmtree(path, ignore_errors=True)
    try:
        os.makedirs(path)
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)
