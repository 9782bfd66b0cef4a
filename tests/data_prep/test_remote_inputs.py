"""Inputs that fsspec reads, with its memory and its local disk in place of a service."""

import os
import subprocess
import sys

import pytest

from orchard.errors import OrchardError
from tests.data_prep import builders

# Runs data_prep.main in a process whose memory:// holds what lies in a local folder.
_FROM_MEMORY = """
import runpy, sys
import fsspec

fsspec.filesystem("memory").put(sys.argv.pop(1), "/in", recursive=True)
runpy.run_module("data_prep.main", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return builders.make_input(tmp_path_factory.mktemp("given") / "in")


@pytest.fixture(scope="module")
def local_digests(given, tmp_path_factory):
    return builders.digests(builders.run(tmp_path_factory.mktemp("local"), **given, folds=3)[0])


def remote(given, root):
    """The same inputs below another root."""
    folder = os.path.dirname(given["csv"])
    return {name: path.replace(folder, root) for name, path in given.items()}


def test_prepare_from_file_urls_is_the_local_dataset_to_the_byte(given, local_digests, tmp_path):
    settings = remote(given, "file://" + os.path.dirname(given["csv"]))
    made, _ = builders.run(tmp_path, **settings, folds=3)
    assert builders.digests(made) == local_digests


def test_main_from_memory_urls_is_the_local_dataset_to_the_byte(given, local_digests, tmp_path):
    settings = {
        **remote(given, "memory://in"),
        **{"folds": 3, "data_dir": tmp_path, "name": "clothes", "version": "1.0.0", "workers": 2},
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [sys.executable, "-c", _FROM_MEMORY, os.path.dirname(given["csv"]), *flags],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert builders.digests(tmp_path / "clothes" / "1.0.0") == local_digests


def test_prepare_missing_remote_image_names_its_row(given, tmp_path):
    settings = remote(given, "file://" + os.path.dirname(given["csv"]))
    settings["csv"] = builders.write_csv(
        tmp_path / "train.csv", [("image_id", "label"), ("a000", "bag"), ("nowhere", "coat")]
    )
    with pytest.raises(OrchardError, match="nowhere.jpg"):
        builders.run(tmp_path / "out", **settings)


def test_prepare_to_a_storage_for_reading_is_refused_at_once(given):
    with pytest.raises(OrchardError, match="^s3://bucket/tfds: s3:// is for reading only; write"):
        builders.run("s3://bucket/tfds", **given)
