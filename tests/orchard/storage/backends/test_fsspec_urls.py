import builtins

import fsspec
import pytest

from orchard import storage
from orchard.errors import MissingObject, OrchardError


@pytest.fixture(params=["memory", "file"])
def folder(request, tmp_path):
    """The URL of a folder with files in it, in fsspec's memory or on this disk."""
    url = "memory://photos" if request.param == "memory" else f"file://{tmp_path}/photos"
    files, path = fsspec.core.url_to_fs(url)
    for name, content in (("a.jpg", b"one"), ("sub/b.jpg", b"0123456789"), ("sub/c.jpg", b"")):
        files.makedirs(f"{path}/sub", exist_ok=True)
        files.pipe_file(f"{path}/{name}", content)
    yield url
    files.rm(path, recursive=True)


def test_list_names_are_the_direct_children(folder):
    assert storage.list_names(folder) == storage.list_names(f"{folder}/") == ["a.jpg", "sub"]
    assert storage.list_names(f"{folder}/sub") == ["b.jpg", "c.jpg"]
    assert storage.list_names(f"{folder}/a.jpg") == []
    assert storage.list_names(f"{folder}/none") == []


def test_list_files_are_all_below(folder):
    assert storage.list_files(folder) == ["a.jpg", "sub/b.jpg", "sub/c.jpg"]
    assert storage.list_files(f"{folder}/sub/") == ["b.jpg", "c.jpg"]
    assert storage.list_files(f"{folder}/a.jpg") == storage.list_files(f"{folder}/none") == []


def test_exists_file_directory_and_nothing(folder):
    paths = (folder, f"{folder}/a.jpg", f"{folder}/sub", f"{folder}/none")
    assert [storage.exists(path) for path in paths] == [True, True, True, False]


def test_stat_is_the_size_of_a_file(folder):
    assert storage.stat(f"{folder}/sub/b.jpg") == storage.FileInfo(10, None)
    assert storage.stat(f"{folder}/sub") is storage.stat(f"{folder}/none") is None


def test_read_bytes_missing_file_is_one_line(folder):
    assert storage.read_bytes(f"{folder}/a.jpg") == b"one"
    for name in ("none", "sub"):
        with pytest.raises(MissingObject, match=f"^{folder}/{name}: no such file$"):
            storage.read_bytes(f"{folder}/{name}")


def test_read_ranges_past_the_end_are_shorter(folder):
    path = f"{folder}/sub/b.jpg"
    assert storage.read_ranges([(path, 2, 3), (path, 8, 5), (path, 10, 1)]) == [b"234", b"89", b""]


def test_read_range_damaged_is_read_again(folder):
    seen = []

    def is_intact(data):
        seen.append(data)
        return len(seen) == 2

    assert storage.read_range(f"{folder}/sub/b.jpg", 0, 2, is_intact) == b"01"
    assert seen == [b"01", b"01"]


def test_size_and_crc32c_are_those_of_the_content(folder, tmp_path):
    (tmp_path / "local").write_bytes(b"0123456789")
    wanted = storage.size_and_crc32c(str(tmp_path / "local"))
    assert storage.size_and_crc32c(f"{folder}/sub/b.jpg") == wanted


def test_local_copy_has_the_same_files(folder):
    with storage.local_copy(folder) as copy:
        assert storage.list_files(copy) == ["a.jpg", "sub/b.jpg", "sub/c.jpg"]
        assert storage.read_bytes(f"{copy}/sub/b.jpg") == b"0123456789"


def test_local_copy_of_a_file_keeps_its_name(folder):
    with storage.local_copy(f"{folder}/sub/b.jpg") as copy:
        assert copy.endswith("/b.jpg")
        assert storage.read_bytes(copy) == b"0123456789"


def test_write_bytes_is_refused_in_one_line(folder):
    scheme = folder.partition(":")[0]
    with pytest.raises(OrchardError, match=f"new: {scheme}:// is for reading only; write to a"):
        storage.write_bytes(f"{folder}/new", b"")


def test_scheme_that_nobody_knows_is_refused_in_one_line():
    with pytest.raises(OrchardError, match="^foo://a/b: Protocol not known: foo; give a local"):
        storage.read_bytes("foo://a/b")


@pytest.fixture
def without_package(monkeypatch):
    """Makes the import of a package fail, as where it is not installed."""
    import_module = builtins.__import__

    def patch(package):
        def refuse(name, *args, **kwargs):
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)
            return import_module(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)

    return patch


def test_package_fsspec_missing_is_one_line(without_package):
    without_package("fsspec")
    with pytest.raises(OrchardError, match=r"^s3://b/a: s3:// is .*pip install -e '.\[fsspec\]'$"):
        storage.read_bytes("s3://b/a")


def test_package_of_the_scheme_missing_is_one_line(without_package):
    without_package("s3fs")
    with pytest.raises(OrchardError, match="^s3://b/a: s3:// needs one more package: Install s3fs"):
        storage.read_bytes("s3://b/a")


def test_other_failure_of_a_service_is_one_line(folder, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("credentials\nare missing")

    files, _ = fsspec.core.url_to_fs(folder)
    monkeypatch.setattr(type(files), "cat_file", fail)
    with pytest.raises(OrchardError, match="a.jpg: RuntimeError: credentials are missing$"):
        storage.read_bytes(f"{folder}/a.jpg")
