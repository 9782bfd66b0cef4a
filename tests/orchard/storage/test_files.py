"""Local paths; those on gs:// are in `tests/gcs`."""

import os
import shutil

import google_crc32c
import pytest

from orchard import storage
from orchard.errors import OrchardError


@pytest.mark.parametrize("open_file", [storage.replacing, lambda p: storage.writing(p, "print")])
def test_a_file_appears_whole_when_its_block_ends_well(tmp_path, open_file):
    path = tmp_path / "new" / "file"
    with open_file(str(path)) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("open_file", [storage.replacing, lambda p: storage.writing(p, "print")])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, open_file):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), open_file(str(path)) as file:
        file.write(b"new")
        file.flush()
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_what_may_only_be_new_replaces_nothing(tmp_path):
    path = str(tmp_path / "file")
    storage.write_bytes(path, b"old", only_if_absent=True)
    with pytest.raises(OrchardError, match="file exists already; nothing was written"):
        storage.write_bytes(path, b"new", only_if_absent=True)
    assert storage.read_bytes(path) == b"old"
    storage.write_bytes(path, b"new")
    assert storage.read_bytes(path) == b"new"


@pytest.fixture
def trees(tmp_path):
    """A folder to put in the place of another one."""
    for name, file in (("new", "a"), ("there", "stale")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(name)
    return str(tmp_path / "new"), f"{tmp_path}/there/"


def test_a_tree_takes_the_place_of_another(trees):
    storage.replace_tree(*trees, last="a")
    assert storage.list_names(trees[1]) == ["a"]
    assert storage.list_names(os.path.dirname(trees[0])) == ["new", "there"]


def test_a_tree_that_cannot_be_copied_leaves_the_one_that_is_there(trees, monkeypatch):
    def full(source, target):
        os.mkdir(target)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(OrchardError, match="there: No space left on device$"):
        storage.replace_tree(*trees, last="a")
    assert storage.list_names(trees[1]) == ["stale"]
    assert storage.list_names(os.path.dirname(trees[0])) == ["new", "there"]


def test_size_and_checksum_are_those_of_the_content(tmp_path):
    path = str(tmp_path / "file")
    assert storage.size_and_crc32c(path) is None
    storage.write_bytes(path, b"content" * 1_000_000)
    wanted = (7_000_000, google_crc32c.value(b"content" * 1_000_000))
    assert storage.size_and_crc32c(path) == wanted
    assert storage.sizes_and_crc32cs([path, f"{path}2"]) == [wanted, None]


def test_a_range_ends_where_the_file_does(tmp_path):
    path = str(tmp_path / "file")
    storage.write_bytes(path, b"0123456789")
    ranges = [(path, 2, 3), (path, 8, 5), (path, 20, 1)]
    assert storage.read_ranges(ranges) == [b"234", b"89", b""]


def test_equal_values_are_equal_json(tmp_path):
    path = str(tmp_path / "file.json")
    storage.write_json(path, {"b": [1, 2], "a": "é"})
    assert storage.read_bytes(path) == storage.json_bytes({"a": "é", "b": [1, 2]})
    assert storage.read_json(path) == {"a": "é", "b": [1, 2]}
    storage.write_bytes(path, b"{")
    with pytest.raises(OrchardError, match="file.json is not valid JSON .*damaged or edited"):
        storage.read_json(path)


def test_what_the_file_system_refuses_is_one_line(tmp_path):
    for refused in (storage.read_bytes, storage.sync):
        with pytest.raises(OrchardError, match="nowhere: No such file or directory$"):
            refused(str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OrchardError, match="file/below.*: Not a directory$|File exists$"):
        storage.write_bytes(str(tmp_path / "file" / "below"), b"")


def test_removing_takes_a_link_and_not_what_it_leads_to(trees):
    link = f"{os.path.dirname(trees[0])}/link"
    os.symlink(trees[0], link)
    storage.remove_tree(link)
    storage.remove_tree(f"{link}/nowhere")
    assert not os.path.lexists(link)
    assert storage.list_names(trees[0]) == ["a"]
