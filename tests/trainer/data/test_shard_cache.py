import os
import shutil

import pytest

from orchard import storage
from orchard.errors import OrchardError
from tests.trainer.datasets import numbered_dataset
from trainer.data import shard_cache
from trainer.data.load import load_records


@pytest.fixture
def records(tmp_path):
    return load_records(numbered_dataset(tmp_path / "data", 20), "train")


def test_with_local_copies_copies_once_and_whole(records, tmp_path, monkeypatch):
    near = shard_cache.with_local_copies(records, str(tmp_path / "near"))
    for original, copy in zip(records.files, near.files, strict=True):
        assert copy.startswith(str(tmp_path / "near"))
        assert open(copy, "rb").read() == open(original, "rb").read()
    monkeypatch.setattr(shard_cache, "_copy", None)  # A second run copies nothing.
    assert shard_cache.with_local_copies(records, str(tmp_path / "near")).files == near.files


def test_with_local_copies_cut_copy_is_replaced(records, tmp_path):
    near = shard_cache.with_local_copies(records, str(tmp_path / "near"))
    os.truncate(near.files[1], 100)
    shard_cache.with_local_copies(records, str(tmp_path / "near"))
    assert open(near.files[1], "rb").read() == open(records.files[1], "rb").read()


def test_with_local_copies_copy_that_differs_never_has_a_shards_name(
    records, tmp_path, monkeypatch
):
    folder, names_when_compared = tmp_path / "near" / records.fingerprint, []
    write, compare = storage.write_bytes, storage.size_and_crc32c

    def list_and_compare(path):
        names_when_compared.extend(os.listdir(folder))
        return compare(path)

    monkeypatch.setattr(storage, "write_bytes", lambda path, data: write(path, data[:-1] + b"?"))
    monkeypatch.setattr(storage, "size_and_crc32c", list_and_compare)
    with pytest.raises(OrchardError, match="differs from"):
        shard_cache.with_local_copies(records, str(tmp_path / "near"))
    shard_names = {os.path.basename(path) for path in records.files}
    assert names_when_compared and not shard_names & set(names_when_compared)
    assert not shard_names & set(os.listdir(folder))


def test_with_local_copies_full_or_remote_folder_is_refused(records, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(OrchardError, match="the shards need .* GB are free"):
        shard_cache.with_local_copies(records, str(tmp_path / "near"))
    with pytest.raises(OrchardError, match="must be a directory on a local disk"):
        shard_cache.with_local_copies(records, "gs://bucket/near")


def test_in_memory_without_enough_memory_is_refused(records, monkeypatch):
    assert shard_cache.in_memory(records.files) == [open(f, "rb").read() for f in records.files]
    monkeypatch.setattr(shard_cache, "_MEMORY_PART", 0.0)
    with pytest.raises(OrchardError, match="--cache=ram: the shards have"):
        shard_cache.in_memory(records.files)
