import errno
import os
from pathlib import Path

import pytest

from data_prep.publish import destination
from orchard.errors import OrchardError
from tests.data_prep.builders import (
    digests,
    make_input,
    run,
)


@pytest.fixture
def places(tmp_path):
    """Where a dataset grows, and where it will be."""
    root = tmp_path / ".staging"
    (root / "files").mkdir(parents=True)
    (root / "files" / "features.json").write_text("new")
    return root, tmp_path / "plants" / "1.0.0"


def check(places, overwrite=False):
    root, final_dir = places
    destination.check(str(root), str(final_dir), overwrite)


def take(places, overwrite=False):
    root, final_dir = places
    destination.take(str(root / "files"), str(final_dir), str(root / "old"), overwrite)


def fill(folder, *names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("old")


@pytest.mark.parametrize("names", [(), ("features.json",), ("manifest.json",)])
def test_take_of_an_empty_folder_or_a_dataset_replaces_it(places, names):
    fill(places[1], *names)
    check(places, overwrite=True)
    take(places, overwrite=True)
    assert (places[1] / "features.json").read_text() == "new"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("step", [check, take])
def test_check_and_take_of_a_folder_that_is_no_dataset_leave_it(places, step, overwrite):
    fill(places[1], "thesis.txt", "notes.txt")
    with pytest.raises(OrchardError, match="1.0.0 holds 2 files and no dataset.* 'notes.txt'"):
        step(places, overwrite)
    assert (places[1] / "thesis.txt").read_text() == "old"


def test_check_of_what_is_no_folder_refuses_it(places):
    places[1].parent.write_text("a file")
    with pytest.raises(OrchardError, match="plants is no folder; remove it"):
        check(places)
    places[1].parent.unlink()
    places[1].parent.mkdir()
    places[1].symlink_to(places[0])
    with pytest.raises(OrchardError, match="1.0.0 is a link or a file; remove it"):
        check(places)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EXDEV, "plants is on another disk than --data_dir"),
        (errno.EACCES, r"plants does not take a dataset \(Permission denied\)"),
    ],
)
def test_check_where_a_rename_will_fail_says_why(places, monkeypatch, number, message):
    places[1].parent.mkdir()

    def refuse(source, target):
        raise OSError(number, os.strerror(number), source, None, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OrchardError, match=message) as caught:
        check(places)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(places[0])) == ["files"]


def test_check_of_a_free_place_leaves_nothing_there(places):
    check(places)
    assert not places[1].parent.exists()
    places[1].parent.mkdir()
    check(places)
    assert os.listdir(places[1].parent) == [] and os.listdir(places[0]) == ["files"]


def test_take_that_fails_puts_the_old_dataset_back(places, monkeypatch):
    fill(places[1], "features.json")
    rename = os.rename

    def refuse(source, target):
        if source.endswith("files"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OrchardError, match="does not take a dataset"):
        take(places, overwrite=True)
    assert (places[1] / "features.json").read_text() == "old"


def test_check_of_a_file_in_the_way_stops_before_any_shard(tmp_path):
    given = make_input(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clothes").write_text("a file")
    with pytest.raises(OrchardError, match="clothes is no folder"):
        run(tmp_path / "out", **given)
    assert os.listdir(tmp_path / "out/.staging/clothes/1.0.0/files") == []


def test_check_of_a_dataset_that_is_not_ours_refuses_to_replace_it(given, tmp_path):
    other = tmp_path / "out" / "clothes" / "1.0.0"
    other.mkdir(parents=True)
    (other / "features.json").write_text("{}")
    with pytest.raises(OrchardError, match="holds no manifest.json"):
        run(tmp_path / "out", **given)
    (other / "features.json").rename(other / "notes.txt")
    for overwrite in (False, True):
        with pytest.raises(OrchardError, match="holds 1 files and no dataset.*'notes.txt'"):
            run(tmp_path / "out", overwrite=overwrite, **given)
    assert (other / "notes.txt").read_text() == "{}"


@pytest.mark.parametrize("file", ["features.json", "manifest.json"])
def test_check_of_a_dataset_that_lost_a_file_asks_for_overwrite(given, tmp_path, file):
    directory, _ = run(tmp_path / "out", **given)
    whole = digests(directory)
    Path(directory, file).unlink()
    with pytest.raises(OrchardError, match=f"{file}.* --overwrite"):
        run(tmp_path / "out", **given)
    run(tmp_path / "out", overwrite=True, **given)
    assert digests(directory) == whole
