import os
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

from ensemble.inference.resumable import ResumableRows, rows_towards
from orchard.errors import OrchardError


def test_resumable_rows_survive_a_kill_and_do_not_mix_keys(tmp_path):
    directory = str(tmp_path / "parts")
    first = ResumableRows(directory, "model1")
    first.add(["a", "b"], np.eye(2, dtype=np.float32))
    first.save()
    first.add(["c"], np.ones((1, 2), np.float32))  # killed before it was saved
    (tmp_path / "parts" / "part-000001.npz.77.tmp").write_bytes(b"PK cut")
    again = ResumableRows(directory, "model1")
    assert {name: row.tolist() for name, row in again.rows.items()} == {"a": [1, 0], "b": [0, 1]}
    with again:
        again.add(["c"], np.ones((1, 2), np.float32))
    assert sorted(ResumableRows(directory, "model1").rows) == ["a", "b", "c"]
    assert ResumableRows(directory, "model2").rows == {}
    again.remove()
    assert ResumableRows(directory, "model1").rows == {}


def test_rows_towards_a_file_goes_on_and_leaves_nothing_but_the_file(tmp_path):
    output = tmp_path / "p.csv"
    with pytest.raises(KeyError):
        with rows_towards(str(output), "model") as rows, rows:
            rows.add(["a"], np.ones((1, 2), np.float32))
            raise KeyError
    (tmp_path / "p.csv.77.tmp").touch()
    with rows_towards(str(output), "model") as rows:
        assert list(rows.rows) == ["a"]
        output.touch()
        rows.remove()
    assert os.listdir(tmp_path) == ["p.csv"]


def test_rows_towards_a_file_that_another_writes_is_refused_and_takes_nothing_away(tmp_path):
    output = str(tmp_path / "p.csv")
    with rows_towards(output, "model") as rows, rows:
        with pytest.raises(OrchardError, match="p.csv.partial is being written by another process"):
            with rows_towards(output, "model"):
                pass
        rows.add(["a"], np.ones((1, 2), np.float32))
    with rows_towards(output, "model") as rows:
        assert list(rows.rows) == ["a"]


def test_rows_towards_a_file_before_anything_was_computed_leaves_nothing(tmp_path):
    with pytest.raises(KeyError):
        with rows_towards(str(tmp_path / "p.csv"), "model"):
            raise KeyError
    assert os.listdir(tmp_path) == []


def test_forget_changed_drops_rows_of_files_replaced_or_removed(tmp_path):
    paths = {name: str(tmp_path / f"{name}.jpg") for name in "abc"}
    for path in paths.values():
        Path(path).write_bytes(b"old")
    directory = str(tmp_path / "parts")
    partial = ResumableRows(directory, "model")
    partial.add("abc", np.zeros((3, 2), np.float32), [google_crc32c.value(b"old")] * 3)
    partial.save()
    Path(paths["b"]).write_bytes(b"new")  # of the same size
    Path(paths["c"]).unlink()
    again = ResumableRows(directory, "model")
    again.forget_changed(paths)
    assert list(again.rows) == ["a"]
    again.add(["b"], np.ones((1, 2), np.float32), [google_crc32c.value(b"new")])
    again.save()
    last = ResumableRows(directory, "model")
    last.forget_changed(paths)
    assert last.rows["b"].tolist() == [1.0, 1.0]


def test_resumable_rows_with_a_damaged_part_are_refused_in_one_line(tmp_path):
    part = tmp_path / "parts" / "part-000000.npz"
    part.parent.mkdir()
    part.write_bytes(b"junk")
    with pytest.raises(OrchardError, match="part-000000.npz is damaged .* delete it and run the"):
        ResumableRows(str(tmp_path / "parts"), "model")


def test_resumable_rows_in_a_block_that_fails_are_saved(tmp_path):
    with pytest.raises(KeyboardInterrupt), ResumableRows(str(tmp_path / "parts"), "key") as rows:
        rows.add(["a"], np.ones((1, 2), np.float32))
        raise KeyboardInterrupt
    assert list(ResumableRows(str(tmp_path / "parts"), "key").rows) == ["a"]
