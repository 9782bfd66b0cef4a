"""What a storage gets from its base class, shown by one that implements no more than it must."""

import os

import google_crc32c
import pytest

from orchard import storage
from orchard.errors import MissingObject, OrchardError
from orchard.storage import STORAGES, FileInfo, Storage

FILES = {"dict://a/one": b"1", "dict://a/b/two": b"22", "dict://a/b/three": b"0123456789"}


@STORAGES.register("dict")
class DictStorage(Storage):
    def list_names(self, directory):
        start = directory.rstrip("/") + "/"
        below = [path.removeprefix(start) for path in FILES if path.startswith(start)]
        return sorted({path.partition("/")[0] for path in below})

    def stat(self, path):
        return FileInfo(len(FILES[path]), None) if path in FILES else None

    def read_bytes(self, path):
        if path not in FILES:
            raise MissingObject(f"{path}: no such file")
        return FILES[path]


def test_exists_file_and_directory():
    paths = ["dict://a/one", "dict://a/b", "dict://a/b/", "dict://a/on", "dict://b"]
    assert [storage.exists(path) for path in paths] == [True, True, True, False, False]


def test_list_files_walks_all_below():
    assert storage.list_files("dict://a") == ["b/three", "b/two", "one"]
    assert storage.list_files("dict://a/b/") == ["three", "two"]


def test_read_ranges_are_cut_from_the_files():
    ranges = [("dict://a/b/three", 2, 3), ("dict://a/one", 0, 5)]
    assert storage.read_ranges(ranges) == [b"234", b"1"]


def test_sizes_and_crc32cs_read_what_is_not_known():
    found = storage.sizes_and_crc32cs(["dict://a/b/two", "dict://none"])
    assert found == [(2, google_crc32c.value(b"22")), None]


def test_local_copy_directory_has_all_files():
    with storage.local_copy("dict://a") as folder:
        assert storage.list_files(folder) == ["b/three", "b/two", "one"]
        assert storage.read_bytes(f"{folder}/b/three") == b"0123456789"
    assert not os.path.exists(folder)


def test_local_copy_file_keeps_its_name():
    with storage.local_copy("dict://a/b/two") as copy:
        assert os.path.basename(copy) == "two"
        assert storage.read_bytes(copy) == b"22"


@pytest.mark.parametrize(
    "write",
    [
        lambda path: storage.check_writable(path),
        lambda path: storage.write_bytes(path, b""),
        lambda path: storage.writing(path).__enter__(),
        lambda path: storage.replace_tree("/", path, ""),
        lambda path: storage.remove_tree(path),
        lambda path: storage.make_directory(path),
        lambda path: storage.sync(path),
        lambda path: storage.lock(path, "what", "advice").__enter__(),
    ],
)
def test_writing_to_a_storage_for_reading_is_refused_in_one_line(write):
    with pytest.raises(OrchardError) as caught:
        write("dict://a/new")
    assert str(caught.value) == (
        "dict://a/new: dict:// is for reading only; write to a local folder or to gs://BUCKET/PATH"
    )


def test_local_copy_missing_path_is_refused():
    with pytest.raises(MissingObject, match="^dict://none: "), storage.local_copy("dict://none"):
        pass
