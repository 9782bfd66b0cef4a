"""Through the door: `orchard.storage` picks this backend for paths without a scheme."""

import os
import shutil
from pathlib import Path

import google_crc32c
import pytest

from orchard import storage
from orchard.errors import MissingObject, OrchardError


def test_writing_file_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "file"
    with storage.writing(str(path), "print") as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("durable", [True, False])
def test_write_bytes_that_lasts_waits_for_the_content_and_then_for_the_name(
    tmp_path, monkeypatch, durable
):
    synced, sync = [], os.fsync

    def spy(handle):
        synced.append((os.readlink(f"/proc/self/fd/{handle}"), sorted(os.listdir(tmp_path))))
        sync(handle)

    monkeypatch.setattr(os, "fsync", spy)
    storage.write_bytes(str(tmp_path / "file"), b"new", durable=durable)
    temporary = f"file.{os.getpid()}.tmp"
    expected = [(str(tmp_path / temporary), [temporary]), (str(tmp_path), ["file"])]
    assert synced == (expected if durable else [])


def test_writing_failed_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), storage.writing(str(path), "print") as file:
        file.write(b"new")
        file.flush()
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.fixture
def trees(tmp_path):
    """A folder to put in the place of another one."""
    for name, file in (("new", "a"), ("there", "stale")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(name)
    return str(tmp_path / "new"), f"{tmp_path}/there/"


def test_replace_tree_takes_the_place_of_the_old_tree(trees):
    # What a killed process left that had the number of this one, as in containers.
    left = f"{trees[1]}.{os.getpid()}.tmp"
    os.mkdir(left)
    Path(left, "half").write_text("written")
    storage.replace_tree(*trees, last="a")
    assert storage.list_names(trees[1]) == ["a"]
    assert storage.list_names(os.path.dirname(trees[0])) == ["new", "there"]


@pytest.mark.parametrize(
    ("umask", "folder", "file"), [(0o022, 0o755, 0o644), (0o027, 0o750, 0o640)]
)
def test_replace_tree_of_a_closed_folder_has_the_modes_of_the_umask(tmp_path, umask, folder, file):
    (tmp_path / "new" / "variables").mkdir(parents=True)
    (tmp_path / "new" / "variables" / "a").write_text("a")
    for path in (tmp_path / "new", tmp_path / "new" / "variables"):
        path.chmod(0o700)
    (tmp_path / "new" / "variables" / "a").chmod(0o600)
    before = os.umask(umask)
    try:
        storage.replace_tree(str(tmp_path / "new"), str(tmp_path / "out" / "model"), last="a")
    finally:
        os.umask(before)
    out = tmp_path / "out"
    modes = [path.stat().st_mode & 0o777 for path in (out, *sorted(out.rglob("*")))]
    assert modes == [folder, folder, folder, file]


def test_replace_tree_failed_copy_leaves_the_old_tree(trees, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OrchardError, match="there: No space left on device$"):
        storage.replace_tree(*trees, last="a")
    assert storage.list_names(trees[1]) == ["stale"]
    assert storage.list_names(os.path.dirname(trees[0])) == ["new", "there"]


def test_size_and_crc32c_are_those_of_the_content(tmp_path):
    path = str(tmp_path / "file")
    assert storage.size_and_crc32c(path) is None
    storage.write_bytes(path, b"content" * 1_000_000)
    wanted = (7_000_000, google_crc32c.value(b"content" * 1_000_000))
    assert storage.size_and_crc32c(path) == wanted
    assert storage.sizes_and_crc32cs([path, f"{path}2"]) == [wanted, None]


def test_read_ranges_past_the_end_are_shorter(tmp_path):
    path = str(tmp_path / "file")
    storage.write_bytes(path, b"0123456789")
    ranges = [(path, 2, 3), (path, 8, 5), (path, 20, 1)]
    assert storage.read_ranges(ranges) == [b"234", b"89", b""]


def test_refusals_of_the_file_system_are_one_line(tmp_path):
    for refused in (storage.read_bytes, storage.sync):
        with pytest.raises(OrchardError, match="nowhere: No such file or directory$"):
            refused(str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OrchardError, match="file/below.*: Not a directory$|File exists$"):
        storage.write_bytes(str(tmp_path / "file" / "below"), b"")


def test_remove_tree_link_removes_the_link_alone(trees):
    link = f"{os.path.dirname(trees[0])}/link"
    os.symlink(trees[0], link)
    storage.remove_tree(link)
    storage.remove_tree(f"{link}/nowhere")
    assert not os.path.lexists(link)
    assert storage.list_names(trees[0]) == ["a"]


def test_read_bytes_missing_file_is_a_missing_object(tmp_path):
    with pytest.raises(MissingObject):
        storage.read_bytes(str(tmp_path / "nowhere"))


def test_stat_file_has_a_size_and_no_known_checksum(tmp_path):
    (tmp_path / "file").write_bytes(b"1234")
    assert storage.stat(str(tmp_path / "file")) == storage.FileInfo(4, None)
    assert storage.stat(str(tmp_path)) is None
    assert storage.stat(str(tmp_path / "nowhere")) is None


def test_list_files_are_relative_and_follow_links(tmp_path, trees):
    (tmp_path / "new" / "sub" / "empty").mkdir(parents=True)
    (tmp_path / "new" / "sub" / "b").touch()
    os.symlink(tmp_path / "there", tmp_path / "new" / "link")
    assert storage.list_files(trees[0]) == ["a", "link/stale", "sub/b"]
    assert storage.list_names(trees[0]) == ["a", "link", "sub"]


def test_list_files_missing_directory_is_refused(tmp_path):
    with pytest.raises(MissingObject, match="nowhere: No such file or directory"):
        storage.list_files(str(tmp_path / "nowhere"))


def test_local_copy_is_the_path_itself(tmp_path):
    with storage.local_copy(str(tmp_path)) as copy:
        assert copy == str(tmp_path)


def test_parent_of_a_linked_directory_is_that_of_its_target(tmp_path, trees):
    (tmp_path / "elsewhere").mkdir()
    os.symlink(trees[0], tmp_path / "elsewhere" / "link")
    assert os.path.samefile(storage.parent(str(tmp_path / "elsewhere" / "link")), tmp_path)


def test_normalize_gives_one_spelling(tmp_path):
    assert storage.normalize(f"{tmp_path}/a/../b/") == f"{tmp_path}/b"
