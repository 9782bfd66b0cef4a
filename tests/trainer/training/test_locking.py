"""Two trainings do not share a run directory, whichever of them comes to the end first."""

import os

import pytest

from orchard.errors import OrchardError
from tests.trainer import runs
from trainer.loop import train_and_evaluate
from trainer.results import finish
from trainer.training import locking


def test_run_lock_second_training_is_refused_and_changes_nothing(
    tmp_path, tiny_dataset, tiny_backbone
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run")
    with locking.run_lock(config.run_dir):
        with pytest.raises(OrchardError, match=f"run is being written.*pid {os.getpid()}") as error:
            train_and_evaluate(config)
    assert "\n" not in str(error.value)
    assert os.listdir(config.run_dir) == [".lock"]


def test_run_lock_export_during_training_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with locking.run_lock(str(tmp_path)):
        with pytest.raises(OrchardError, match="is being written by another process"):
            finish.export_only(str(tmp_path), "best")


def test_run_lock_workers_of_one_run_share_it(tmp_path):
    with locking.run_lock(str(tmp_path)), locking.run_lock(str(tmp_path), chief=False) as check:
        check()


def test_run_lock_released_is_free_again(tmp_path):
    for _ in range(2):
        with locking.run_lock(str(tmp_path)) as check:
            check()


def test_run_lock_run_directory_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OrchardError, match="file.*choose another --run_dir"):
        with locking.run_lock(str(tmp_path / "file" / "run")):
            pytest.fail("the directory was locked")
