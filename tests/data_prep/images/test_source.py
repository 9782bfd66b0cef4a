import os

import pytest

from data_prep.images.source import ImageSource, SourceProblem, file_name
from orchard.errors import OrchardError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    (root / "a.jpg").write_bytes(b"a")
    (root / "sub" / "b.jpg").write_bytes(b"b" * 100_000)
    (tmp_path / "secret.jpg").write_bytes(b"s")
    return root


@pytest.mark.parametrize(
    ("image_id", "extension", "wanted"),
    [
        ("Train_1", ".jpg", "Train_1.jpg"),
        ("Train_1.jpg", ".jpg", "Train_1.jpg"),
        ("Train_1.JPEG", ".jpg", "Train_1.JPEG"),
        ("img.v2", ".jpg", "img.v2.jpg"),
        ("img.v2", ".tile", "img.v2.tile"),
        ("x.tile", ".tile", "x.tile"),
        ("x", "", "x"),
    ],
)
def test_file_name_of_ids_with_and_without_ending_is_the_file(image_id, extension, wanted):
    assert file_name(image_id, extension) == wanted


def test_read_of_a_file_gives_all_bytes_and_its_time(folder):
    source = ImageSource(str(folder))
    assert source.read("sub/b.jpg")[0] == b"b" * 100_000
    assert source.read("a.jpg")[1] == (folder / "a.jpg").stat().st_mtime_ns


@pytest.mark.parametrize(
    "file", ["../secret.jpg", "sub/../../secret.jpg", "/etc/passwd", "a\0.jpg"]
)
def test_read_of_a_path_out_of_the_folder_is_refused(folder, file):
    with pytest.raises(SourceProblem) as caught:
        ImageSource(str(folder)).read(file)
    assert caught.value.kind == "outside the images folder"


def test_read_of_links_follows_them_inside_the_folder_only(folder):
    os.symlink("a.jpg", folder / "inside.jpg")
    os.symlink("../secret.jpg", folder / "outside.jpg")
    os.symlink("..", folder / "up")
    source = ImageSource(str(folder))
    assert source.read("inside.jpg")[0] == b"a"
    for file in ("outside.jpg", "up/secret.jpg"):
        with pytest.raises(SourceProblem, match="link that leads out.*pass --follow_symlinks"):
            source.read(file)


def test_read_with_follow_symlinks_follows_links_and_no_dots(folder):
    os.symlink("../secret.jpg", folder / "outside.jpg")
    os.symlink("..", folder / "up")
    source = ImageSource(str(folder), follow_symlinks=True)
    assert source.read("outside.jpg")[0] == source.read("up/secret.jpg")[0]
    with pytest.raises(SourceProblem, match="leads out of the images folder"):
        source.read("../secret.jpg")


def test_read_in_a_folder_that_is_a_link_works(folder, tmp_path):
    os.symlink(folder, tmp_path / "link")
    assert ImageSource(str(tmp_path / "link")).read("a.jpg")[0] == b"a"


def test_read_in_the_root_folder_works(folder):
    file = str(folder / "a.jpg").lstrip("/")
    assert ImageSource("/").read(file)[0] == b"a"


def test_read_of_a_missing_file_hints_at_another_ending(folder):
    (folder / "c.JPG").write_bytes(b"c")
    with pytest.raises(
        SourceProblem, match=r"there is 'c.JPG': mend the id, or pass --extension=.JPG"
    ):
        ImageSource(str(folder)).read("c.jpg")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_read_of_what_is_no_file_is_refused_at_once(folder, make):
    make(folder / "odd.jpg")
    with pytest.raises(SourceProblem) as caught:
        ImageSource(str(folder)).read("odd.jpg")
    assert caught.value.kind == "unreadable image"


def test_image_source_of_a_missing_folder_names_it(tmp_path):
    with pytest.raises(
        OrchardError, match="nowhere: no such folder of images; correct --images_dir"
    ):
        ImageSource(str(tmp_path / "nowhere"))
