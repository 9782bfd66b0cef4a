import os
import unicodedata

import pytest

from data_prep.images import advise, describe_odd, find_files
from orchard import storage
from orchard.errors import OrchardError


@pytest.fixture
def folder(tmp_path):
    """`images`, with files of several endings, and one in a folder."""
    images = tmp_path / "images"
    (images / "animals").mkdir(parents=True)
    names = ("a.jpg", "b.JPG", "c.png", "d.jpeg", "e.jpg", "e.png", "f.PNG", "f.webp")
    for name in (*names, "animals/g.jpg", unicodedata.normalize("NFD", "für.jpg")):
        (images / name).write_bytes(b"x")
    return str(images)


@pytest.mark.parametrize(
    ("image_id", "file"),
    [
        ("a", "a.jpg"),
        ("a.jpg", "a.jpg"),
        ("b", "b.JPG"),
        ("b.jpg", "b.JPG"),
        ("B", "b.JPG"),
        ("c", "c.png"),
        ("c.jpg", "c.png"),
        ("d.JPG", "d.jpeg"),
        ("e", "e.jpg"),
        ("f.png", "f.PNG"),
        ("images/a.jpg", "a.jpg"),
        ("images/b", "b.JPG"),
        ("animals/g", "animals/g.jpg"),
        ("animals\\g.jpg", "animals/g.jpg"),
        (unicodedata.normalize("NFC", "für"), unicodedata.normalize("NFD", "für.jpg")),
    ],
)
def test_find_files_of_an_id_takes_the_file_that_it_means(folder, image_id, file):
    found = find_files(folder, [image_id], ".jpg")
    assert (found.files, found.missing) == ((file,), ())


def test_find_files_of_an_absolute_path_in_the_folder_takes_it(folder, tmp_path, monkeypatch):
    os.symlink(folder, tmp_path / "link")
    for images_dir in (folder, str(tmp_path / "link"), f"{folder}/"):
        assert find_files(images_dir, [f"{folder}/a.jpg"], ".jpg").files == ("a.jpg",)
    monkeypatch.chdir(tmp_path)
    assert find_files("images", ["images/a.jpg", "a"], ".jpg").files == ("a.jpg", "a.jpg")


@pytest.mark.parametrize("image_id", ["f", "h", "../images/a.jpg", "/etc/passwd", "g", "a\0"])
def test_find_files_of_no_file_or_several_is_missing(folder, image_id):
    found = find_files(folder, [image_id, "a"], ".jpg")
    assert found.missing == (0,) and not found.odd


def test_find_files_of_a_few_ids_finds_what_it_finds_of_them_among_many(folder):
    # Of many the folder is listed at once, of a few it is asked for each first.
    names = ["a", "B", "c.jpg", "f", "g", "h", "images/a.jpg", "animals/g", "animals", ".", ""]
    ids = [*names, "../images/a.jpg", f"{folder}/a.jpg", "a.jpg/", "./a.jpg", "animals//g"]
    few, many = (
        find_files(folder, [*ids, *more], ".jpg")
        for more in ([], [f"n{number}" for number in range(2000)])
    )
    assert (few.files, few.odd) == (many.files[: len(ids)], many.odd)
    assert few.missing == tuple(position for position in many.missing if position < len(ids))
    assert 5 < len(few.missing) < len(ids) - 5


@pytest.fixture
def memory(folder):
    """The same files in fsspec's memory, under the name of the folder."""
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.put(folder, "/odd/images", recursive=True)
    yield "memory://odd/images"
    files.rm("/odd", recursive=True)


@pytest.mark.parametrize(
    ("image_id", "file"),
    [
        ("a", "a.jpg"),
        ("B", "b.JPG"),
        ("c.jpg", "c.png"),
        ("images/a.jpg", "a.jpg"),
        ("memory://odd/images/b", "b.JPG"),
        ("animals/G", "animals/g.jpg"),
        (unicodedata.normalize("NFC", "f\u00fcr"), unicodedata.normalize("NFD", "f\u00fcr.jpg")),
    ],
)
def test_find_files_of_a_remote_folder_takes_the_file_that_an_id_means(memory, image_id, file):
    found = find_files(memory, [image_id, "nowhere"], ".jpg")
    assert (found.files, found.missing) == ((file, "nowhere.jpg"), (1,))
    assert advise(memory, found.files, found, "images_dir") == {}


def test_find_files_of_a_remote_folder_that_cannot_be_listed_takes_ids_by_the_word(monkeypatch):
    def refuse(directory):
        raise OrchardError(f"{directory}: no")

    monkeypatch.setattr(storage, "list_names", refuse)
    assert find_files("memory://odd/images", ["B"], ".jpg").files == ("B.jpg",)


def test_describe_odd_counts_them(folder):
    found = find_files(folder, ["a", "b", "c"], ".jpg")
    assert describe_odd(found, "x.csv") == (
        "x.csv: 2 ids taken for files of other names, the first 'b' for 'b.JPG'"
    )
    assert describe_odd(find_files(folder, ["a"], ".jpg"), "x.csv") == ""


def test_advise_of_files_that_all_lie_in_one_folder_names_the_flag(folder):
    found = find_files(folder, ["g"], ".jpg")
    assert advise(folder, found.files, found, "images_dir") == {
        0: f"found in animals/g.jpg: pass --images_dir={folder}/animals"
    }
    found = find_files(folder, ["a", "g"], ".jpg")
    assert advise(folder, found.files, found, "images_dir") == {
        1: "found in animals/g.jpg: put the folder before the name in the id"
    }
