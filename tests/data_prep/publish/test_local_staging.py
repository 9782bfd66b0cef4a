import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from data_prep.publish.local_staging import LocalStaging
from orchard import storage
from orchard.errors import OrchardError
from tests.data_prep.builders import (
    digests,
    interrupted,
    make_input,
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


def test_lock_in_a_folder_of_a_group_leaves_nothing_that_keeps_the_others_out(given, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o2775)
    before = os.umask(0o022)
    try:
        run(out, **given)
    finally:
        os.umask(before)
    for place in (".staging", ".staging/clothes", "clothes"):
        assert stat.S_IMODE((out / place).stat().st_mode) == 0o2775
    assert stat.S_IMODE((out / ".staging/clothes-1.0.0.lock").stat().st_mode) == 0o664


@pytest.fixture
def open_folder():
    """A folder that everybody may read, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def run_as_somebody_else(out, home, given, group=65534):
    """The lines of a run by another user, in a process that has loaded no TensorFlow."""
    home.mkdir()
    os.chown(home, 65534, 65534)
    program = (
        "import json, sys\n"
        "from tests.data_prep.publish.test_local_staging import run_as_nobody\n"
        "run_as_nobody(**json.loads(sys.argv[1]))"
    )
    arguments = {"out": str(out), "home": str(home), "given": given, "group": group}
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return (home / "said").read_text().splitlines()


def run_as_nobody(out, home, given, group):
    """Prepare once as we are, which imports all that is needed, and then as another user.

    That user may not even read the Python that runs this.
    """
    with tempfile.TemporaryDirectory() as folder:
        run(folder, **given)
    os.umask(0o022)
    tempfile.tempdir = home
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(65534, 65534, 65534)
    Path(home, "said").write_text("\n".join(run(out, **given)[1]))


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")


@needs_root
def test_prepare_by_who_may_only_read_a_finished_dataset_finds_it_finished(open_folder):
    given = make_input(open_folder / "in")
    directory, _ = run(open_folder / "out", **given)
    made = run_as_somebody_else(open_folder / "out", open_folder / "home", given)
    assert made[-1] == f"finished already, nothing to do: {directory}"
    assert not [name for name in os.listdir(open_folder / "home") if name.startswith("orchard-")]


@needs_root
def test_prepare_by_the_second_of_a_group_goes_on_over_leftovers(open_folder, monkeypatch):
    given = make_input(open_folder / "in")
    out = open_folder / "out"
    out.mkdir()
    os.chown(out, 0, 65533)
    out.chmod(0o2775)
    staging = interrupted(out, monkeypatch, **given)
    Path(staging.spool_path).write_bytes(b"left by a kill")
    run_as_somebody_else(out, open_folder / "home", given, group=65533)
    assert Path(staging.final_dir, "features.json").exists()
