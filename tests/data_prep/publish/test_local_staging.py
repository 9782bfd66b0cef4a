import os
from pathlib import Path

import pytest

from data_prep.publish.local_staging import LocalStaging
from orchard import storage
from orchard.errors import OrchardError
from tests.data_prep.builders import (
    digests,
    interrupted,
    run,
)


def test_written_after_an_interrupted_run_keeps_whole_shards_alone(given, tmp_path, monkeypatch):
    staging = interrupted(tmp_path / "out", monkeypatch, folds=3, **given)
    assert not os.path.exists(staging.final_dir)
    shards = {file: file.stat().st_ino for file in Path(staging.files_dir).glob("*.tfrecord-*")}
    assert len(shards) == 4
    cut, flipped, foreign = sorted(shards)[:3]
    cut.write_bytes(cut.read_bytes()[:-5])
    flipped.write_bytes(flipped.read_bytes()[:50] + b"x" + flipped.read_bytes()[51:])
    receipt = Path(staging.receipts_dir, foreign.name + ".json")
    receipt.write_text(receipt.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    (Path(staging.files_dir) / "clothes-train.tfrecord-00000-of-00009").write_bytes(b"old plan")
    directory, said = run(tmp_path / "out", folds=3, **given)
    assert "1 of 4 shards are there already and undamaged" in said
    fresh, _ = run(tmp_path / "fresh", folds=3, **given)
    assert digests(directory) == digests(fresh)
    kept = sorted(shards)[3]
    assert os.stat(Path(directory, kept.name)).st_ino == shards[kept]


def test_lock_of_a_second_writer_is_refused_in_one_line(given, tmp_path):
    staging = LocalStaging(str(tmp_path / "out"), "clothes", "1.0.0")
    with staging.lock():
        with pytest.raises(
            OrchardError, match=f"being written by another process .pid {os.getpid()}"
        ):
            run(tmp_path / "out", **given)
    run(tmp_path / "out", **given)


def test_commit_flushes_every_file_before_the_rename(given, tmp_path, monkeypatch):
    flushed, sync, rename = set(), storage.sync, os.rename
    at_rename = []

    def note(path):
        flushed.add(os.path.basename(path))
        sync(path)

    def note_rename(source, target):
        at_rename.append(set(flushed))
        rename(source, target)

    monkeypatch.setattr(storage, "sync", note)
    monkeypatch.setattr(os, "rename", note_rename)
    directory, _ = run(tmp_path / "out", **given)
    assert at_rename[-1] == {"files", *os.listdir(directory)}
