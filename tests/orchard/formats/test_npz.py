import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchard.errors import OrchardError
from orchard.formats import npz

_ARRAYS = {"a": np.arange(3, dtype=np.uint32), "text": np.array(["x", "ä"])}


def _read(path, *names):
    return npz.read(str(path), *names, kind="part", remedy="delete it")


def test_read_gives_all_arrays_that_were_written(tmp_path):
    npz.write(str(tmp_path / "f.npz"), _ARRAYS)
    found = _read(tmp_path / "f.npz", "a")
    assert list(found) == ["a", "text"] and found["a"].dtype == np.uint32
    assert found["text"].tolist() == ["x", "ä"]


def test_read_without_a_needed_array_is_one_line(tmp_path):
    npz.write(str(tmp_path / "f.npz"), _ARRAYS)
    with pytest.raises(OrchardError, match="f.npz is damaged or no part .'b'.; delete it"):
        _read(tmp_path / "f.npz", "b")


@pytest.mark.parametrize("wrong", [np.zeros(2), np.float64(3)])
def test_read_of_rows_that_do_not_go_together_is_one_line(tmp_path, wrong):
    path = str(tmp_path / "f.npz")
    npz.write(path, {"ids": np.arange(3), "rows": np.zeros((3, 2))})
    npz.read(path, "ids", kind="part", remedy="delete it", aligned=("ids", "rows"))
    npz.write(path, {"ids": np.arange(3), "rows": wrong})
    with pytest.raises(OrchardError, match="f.npz is damaged or no part .*; delete it"):
        npz.read(path, "ids", kind="part", remedy="delete it", aligned=("ids", "rows"))


def test_read_of_pickled_objects_is_refused(tmp_path):
    np.savez(tmp_path / "f.npz", a=np.array([{}], object))
    with pytest.raises(OrchardError, match="f.npz is damaged or no part"):
        _read(tmp_path / "f.npz")


@given(st.data())
def test_read_of_a_cut_file_is_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "f.npz"
    npz.write(str(path), _ARRAYS)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(OrchardError, match="f.npz is damaged or no part") as caught:
        _read(path)
    assert "\n" not in str(caught.value)


def test_read_parts_takes_finished_files_by_name(tmp_path):
    for number in (2, 1):
        npz.write(str(tmp_path / f"part-{number}.npz"), {"a": np.array(number)})
    (tmp_path / "part-3.npz.77.tmp").write_bytes(b"PK cut")
    parts = npz.read_parts(str(tmp_path), "a", kind="part", remedy="delete it")
    assert [int(part["a"]) for part in parts] == [1, 2]


def test_read_parts_of_no_directory_is_empty(tmp_path):
    assert list(npz.read_parts(str(tmp_path / "none"), kind="part", remedy="")) == []
