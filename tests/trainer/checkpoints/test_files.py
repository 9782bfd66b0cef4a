import os

import numpy as np
import pytest

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    TrainingCheckpoint,
    WeightsCheckpoint,
    WeightsMeta,
    load_checkpoint_file,
)
from tests.records import training_meta
from trainer.checkpoints import files


def _state(step, value=0.0):
    return TrainingCheckpoint(step, _arrays(value), training_meta(step))


def _best(step, value=0.0):
    return WeightsCheckpoint(step, _arrays(value), WeightsMeta({"accuracy": 0.5}))


def _arrays(value):
    return {"a/0": np.full((2, 3), value, np.float32)}


def _path(run_dir, step):
    return os.path.join(run_dir, "checkpoints", f"step-{step:09d}.npz")


def test_load_latest_checkpoint_saved_one_comes_back_equal(tmp_path):
    files.save_checkpoint(str(tmp_path), _state(7, 1.5), keep=2)
    loaded = files.load_latest_checkpoint(str(tmp_path))
    assert loaded.step == 7 and loaded.meta == training_meta(7)
    np.testing.assert_array_equal(loaded.arrays["a/0"], np.full((2, 3), 1.5, np.float32))


def test_save_checkpoint_more_than_to_keep_removes_the_oldest(tmp_path):
    for step in (0, 5, 10, 100):
        left = files.save_checkpoint(str(tmp_path), _state(step), keep=2)
    assert left == [10, 100]
    assert files.steps(str(tmp_path)) == [10, 100]


def test_load_latest_checkpoint_before_the_first_is_none(tmp_path):
    assert files.load_latest_checkpoint(str(tmp_path)) is None


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_load_latest_checkpoint_damaged_newest_falls_back_to_older(tmp_path, damage):
    run_dir = str(tmp_path)
    for step in (1, 2):
        files.save_checkpoint(run_dir, _state(step, step), keep=3)
    path = _path(run_dir, 2)
    data = bytearray(storage.read_bytes(path))
    if damage == "flip":
        data[data.index(np.float32(2).tobytes() * 2)] ^= 1
    length = {"truncate": len(data) // 2, "flip": len(data), "empty": 0}[damage]
    with open(path, "wb") as file:
        file.write(data[:length])
    with pytest.raises(OrchardError, match="damaged"):
        load_checkpoint_file(path)
    assert files.load_latest_checkpoint(run_dir).step == 1


def test_load_latest_checkpoint_all_damaged_is_refused(tmp_path):
    files.save_checkpoint(str(tmp_path), _state(3), keep=1)
    with open(_path(str(tmp_path), 3), "wb") as file:
        file.write(b"PK not a zip")
    with pytest.raises(OrchardError, match="no other is left"):
        files.load_latest_checkpoint(str(tmp_path))


def test_load_latest_checkpoint_file_of_another_program_is_refused(tmp_path):
    path = str(tmp_path / "foreign.npz")
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(OrchardError, match="damaged or no checkpoint of ours"):
        load_checkpoint_file(path)


def test_load_latest_checkpoint_file_of_another_format_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("orchard.formats.checkpoint.FORMAT", "orchard-checkpoint-0")
        files.save_checkpoint(str(tmp_path), _state(3), keep=1)
    with pytest.raises(OrchardError, match="has format 'orchard-checkpoint-0', not 'orchard-"):
        load_checkpoint_file(_path(str(tmp_path), 3))


def test_save_checkpoint_full_disk_is_one_line_and_keeps_the_older(tmp_path, monkeypatch):
    files.save_checkpoint(str(tmp_path), _state(1), keep=2)

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OrchardError, match="checkpoint not written.*No space left") as caught:
        files.save_checkpoint(str(tmp_path), _state(2), keep=2)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path / "checkpoints") == [os.path.basename(_path("", 1))]


def test_prune_best_checkpoints_keeps_the_previous_best_until_called(tmp_path):
    run_dir = str(tmp_path)
    files.save_best_checkpoint(run_dir, _best(10, 1))
    files.save_best_checkpoint(run_dir, _best(20, 2))
    assert files.load_best_checkpoint(run_dir, 10).step == 10
    files.save_best_checkpoint(run_dir, _best(30, 3))
    files.prune_best_checkpoints(run_dir, {10, 30})
    names = {"best-000000010.npz", "best-000000030.npz"}
    assert set(os.listdir(tmp_path / "checkpoints")) == names
