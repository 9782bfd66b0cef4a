import errno
import fcntl
import os
import signal
import subprocess
import sys
import tempfile

import pytest

from orchard import storage
from orchard.errors import OrchardError

HOLD = """
import sys, time
from orchard import storage
with storage.lock(sys.argv[1], "the run", "advice"):
    print("held", flush=True)
    time.sleep(600)
"""


def lock(path):
    return storage.lock(str(path), "the run", "choose another --run_dir")


def test_lock_held_by_another_process_names_it(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OrchardError) as caught, lock(tmp_path / "lock"):
            pass
        assert str(caught.value) == (
            f"the run is being written by another process (pid {holder.pid} on "
            f"{os.uname().nodename}); wait for it or stop it"
        )
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with lock(tmp_path / "lock") as held:
            held.check()
            held.raise_if_lost()
    finally:
        holder.kill()
        holder.communicate()


def test_lock_released_is_free_again(tmp_path):
    for _ in range(2):
        with lock(tmp_path / "new" / "lock"):
            pass
    assert os.listdir(tmp_path / "new") == ["lock"]


def test_lock_folder_that_cannot_be_made_gives_the_advice(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OrchardError, match="file.*; choose another --run_dir$"):
        with lock(tmp_path / "file" / "lock"):
            pass


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def no_locks_outside_of(request, monkeypatch):
    """Makes a file system without locks of all but one folder."""
    flock = fcntl.flock

    def patch(folder):
        def refuse(handle, operation):
            if not folder or not os.readlink(f"/proc/self/fd/{handle}").startswith(str(folder)):
                raise OSError(request.param, os.strerror(request.param))
            flock(handle, operation)

        monkeypatch.setattr(fcntl, "flock", refuse)

    return patch


def test_lock_file_system_without_locks_keeps_out_this_machine(
    tmp_path, scratch, no_locks_outside_of, capsys
):
    no_locks_outside_of(scratch)
    with lock(tmp_path / "lock"):
        assert capsys.readouterr().err == (
            "the run: its file system has no file locks; only writers on this machine are kept out"
            "\n"
        )
        with pytest.raises(OrchardError, match=f"another process .pid {os.getpid()} on"):
            with lock(tmp_path / "lock"):
                pass
        with lock(tmp_path / "other"):
            pass


def test_lock_no_locks_anywhere_is_refused_in_one_line(tmp_path, scratch, no_locks_outside_of):
    no_locks_outside_of(None)
    with pytest.raises(OrchardError) as caught, lock(tmp_path / "lock"):
        pass
    assert str(caught.value) == (
        f"{tmp_path}/lock: there are no file locks on its file system, nor in the temporary "
        "folder; choose another --run_dir"
    )


def test_scratch_path_is_the_same_in_every_run_and_private(scratch):
    path = storage.scratch_path("gs://bucket/a")
    assert path == storage.scratch_path("gs://bucket/a") != storage.scratch_path("gs://bucket/b")
    assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0


def test_scratch_path_without_a_writable_folder_gives_advice(scratch, monkeypatch):
    (scratch / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch / "file"))
    with pytest.raises(OrchardError, match="; set TMPDIR to a folder on a disk with room$"):
        storage.scratch_path("gs://bucket/a")
