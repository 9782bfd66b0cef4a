"""Inputs that fsspec reads, with its memory and its local disk in place of a service."""

import os
import shutil
import subprocess
import sys

import pytest

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import load_records
from tests.data_prep import builders
from tests.gcs.conftest import gcs, gcs_server  # noqa: F401

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


@pytest.fixture
def odd_ids(given, tmp_path):
    """The same rows, whose ids name files in other words, and settings that say where all is."""
    folder = tmp_path / "in"
    shutil.copytree(os.path.dirname(given["csv"]), folder)
    images = folder / "images"
    (images / "more").mkdir()
    (images / "a001.jpg").rename(images / "a001.JPEG")
    (images / "a002.jpg").rename(images / "A002.JPG")
    (images / "a003.jpg").rename(images / "more" / "a003.jpg")
    text = (folder / "train.csv").read_text()
    for old, new in (("a000", "images/a000.jpg"), ("a001", "a001.jpg"), ("a003", "more/A003")):
        text = text.replace(f"{old},", f"{new},")
    (folder / "train.csv").write_text(text)
    return remote(given, str(folder))


_FILES = {"images/a000.jpg": "a000.jpg", "a001.jpg": "a001.JPEG", "a002": "A002.JPG"}


def check_odd_ids(made, said):
    records = load_records(made)
    found = dict(zip(records["id"], records["source_file"], strict=True))
    wanted = _FILES | {"more/A003": "more/a003.jpg", "a004": "a004.jpg"}
    assert {image_id: found[image_id] for image_id in wanted} == wanted
    assert any("4 ids taken for files of other names" in line for line in said)


def test_prepare_ids_of_remote_files_in_another_case_or_ending_finds_them(odd_ids, tmp_path):
    folder = os.path.dirname(odd_ids["csv"])
    check_odd_ids(*builders.run(tmp_path / "file", **remote(odd_ids, f"file://{folder}")))


def test_prepare_ids_of_gcs_files_in_another_case_or_ending_finds_them(odd_ids, tmp_path, gcs):  # noqa: F811
    folder = os.path.dirname(odd_ids["csv"])
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            target = gcs.path("in", *os.path.relpath(path, folder).split("/"))
            with open(path, "rb") as file:
                storage.write_bytes(target, file.read())
    check_odd_ids(*builders.run(tmp_path / "gcs", **remote(odd_ids, gcs.path("in"))))


def test_prepare_to_a_storage_for_reading_is_refused_at_once(given):
    with pytest.raises(OrchardError, match="^s3://bucket/tfds: s3:// is for reading only; write"):
        builders.run("s3://bucket/tfds", **given)
