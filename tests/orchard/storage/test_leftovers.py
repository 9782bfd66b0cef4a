import os
import signal
import subprocess
import sys

import pytest

from orchard import storage
from orchard.errors import OrchardError

_WRITES = """
import os, sys
from orchard import storage
with storage.writing(sys.argv[1]) as file:
    file.write(b"half of it")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""
_COPIES = """
import shutil, sys
from orchard import storage

def wait(*paths):
    print("writing", flush=True)
    sys.stdin.read()

shutil.copyfile = wait
storage.replace_tree(sys.argv[2], sys.argv[1], last="one")
"""


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "one").write_bytes(b"1")
    return folder


@pytest.mark.parametrize("program", [_WRITES, _COPIES], ids=["file", "tree"])
@pytest.mark.parametrize("whole_folder", [True, False])
def test_remove_leftovers_removes_what_a_killed_process_wrote_and_no_living_one(
    tmp_path, source, program, whole_folder
):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "model").write_bytes(b"the one before")
    target = folder / "model"
    cleared = str(folder if whole_folder else target)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(target), str(source)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "writing\n"
        growing = f"model.{process.pid}.tmp"
        storage.remove_leftovers(cleared)
        assert set(os.listdir(folder)) == {"model", growing}
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert set(os.listdir(folder)) == {"model", growing}
        storage.remove_leftovers(cleared)
        assert os.listdir(folder) == ["model"]
    finally:
        process.kill()
        process.communicate()
    assert target.read_bytes() == b"the one before"


def test_remove_leftovers_of_a_file_leaves_those_of_others(tmp_path):
    names = {"p.csv.1.tmp", "p.csv", "q.csv.1.tmp", "p.csv.tmp", "p.csv.1.tmp.gz", "pXcsv.1.tmp"}
    for name in names:
        (tmp_path / name).touch()
    storage.remove_leftovers(str(tmp_path / "p.csv"))
    assert set(os.listdir(tmp_path)) == names - {"p.csv.1.tmp"}


def test_remove_leftovers_where_nothing_is_does_nothing(tmp_path):
    storage.remove_leftovers(str(tmp_path / "none" / "out"))
    assert os.listdir(tmp_path) == []


def test_writing_beside_one_who_clears_up_ends_well(tmp_path):
    with storage.writing(str(tmp_path / "a")) as file:
        file.write(b"whole")
        storage.remove_leftovers(str(tmp_path))
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a"]


def test_lock_folder_clears_up_and_keeps_others_out(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-000000002.npz.77.tmp").touch()
    with storage.lock_folder(str(tmp_path), "choose another --run_dir"):
        assert os.listdir(tmp_path / "checkpoints") == []
        with pytest.raises(OrchardError, match="is being written by another process"):
            with storage.lock_folder(str(tmp_path), "choose another --run_dir"):
                pass
