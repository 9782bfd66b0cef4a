import errno
import os

import pytest

from data_prep.publish import destination
from orchard.errors import OrchardError
from tests.data_prep.builders import make_input, run


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
def test_an_empty_folder_or_a_dataset_may_be_replaced(places, names):
    fill(places[1], *names)
    check(places, overwrite=True)
    take(places, overwrite=True)
    assert (places[1] / "features.json").read_text() == "new"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("step", [check, take])
def test_a_folder_that_is_no_dataset_stays(places, step, overwrite):
    fill(places[1], "thesis.txt", "notes.txt")
    with pytest.raises(OrchardError, match="1.0.0 holds 2 files and no dataset.* 'notes.txt'"):
        step(places, overwrite)
    assert (places[1] / "thesis.txt").read_text() == "old"


def test_what_is_no_folder_is_found_before_anything_is_written(places):
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
def test_a_rename_that_will_be_refused_is_refused_at_once(places, monkeypatch, number, message):
    places[1].parent.mkdir()

    def refuse(source, target):
        raise OSError(number, os.strerror(number), source, None, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OrchardError, match=message) as caught:
        check(places)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(places[0])) == ["files"]


def test_a_look_at_the_place_leaves_nothing_there(places):
    check(places)
    assert not places[1].parent.exists()
    places[1].parent.mkdir()
    check(places)
    assert os.listdir(places[1].parent) == [] and os.listdir(places[0]) == ["files"]


def test_a_dataset_is_put_back_when_its_successor_cannot_take_its_place(places, monkeypatch):
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


def test_no_shard_is_written_for_a_place_that_is_taken(tmp_path):
    given = make_input(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clothes").write_text("a file")
    with pytest.raises(OrchardError, match="clothes is no folder"):
        run(tmp_path / "out", **given)
    assert os.listdir(tmp_path / "out/.staging/clothes/1.0.0/files") == []
