import io

import numpy as np
import pytest
from PIL import Image

from ensemble.inference.folder import list_photos, name_photos, read_batches
from orchard.errors import OrchardError


def test_read_batches_turns_photos_upright(tmp_path):
    left_dark = Image.fromarray(np.repeat(np.uint8([[0, 255]]), 32, axis=0).repeat(16, axis=1))
    exif = left_dark.getexif()
    exif[0x0112] = 6  # stored lying on its side: show it turned clockwise
    left_dark.convert("RGB").save(tmp_path / "photo.JPG", exif=exif, quality=95)
    left_dark.save(tmp_path / "drawing.png")
    ((drawing, photo),) = read_batches(list_photos(str(tmp_path)), batch_size=8)
    assert (drawing.image_id, photo.image_id) == ("drawing", "photo")
    upright = np.asarray(Image.open(io.BytesIO(photo.jpeg)).convert("L"), int)
    assert upright[:14].mean() < 20 and upright[-14:].mean() > 235
    assert drawing.jpeg.startswith(b"\xff\xd8")


def test_list_photos_sorts_by_path_and_read_batches_keeps_the_order(tmp_path):
    for name in ("b/x.jpeg", "a.jpg", "b/notes.txt", "c/d/y.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path) if not name.endswith("txt") else path.write_text("")
    photos = list_photos(str(tmp_path))
    assert [image_id for image_id, _ in photos] == ["a", "b/x", "c/d/y"]
    batches = list(read_batches(photos * 5, batch_size=2))
    assert [len(batch) for batch in batches] == [2] * 7 + [1]
    assert [p.image_id for batch in batches for p in batch] == ["a", "b/x", "c/d/y"] * 5


def test_list_photos_of_litter_leaves_it_out_as_preparation_does(tmp_path):
    for name in (
        "cat/a.jpg",
        "cat/._a.jpg",
        ".hidden.jpg",
        "cat/.ipynb_checkpoints/a-checkpoint.jpg",
        "__MACOSX/cat/a.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path, "JPEG")
    assert [image_id for image_id, _ in list_photos(str(tmp_path))] == ["cat/a"]


def test_list_photos_without_photos_or_with_clashing_names_is_refused(tmp_path):
    with pytest.raises(OrchardError, match="no such folder"):
        list_photos(str(tmp_path / "absent"))
    with pytest.raises(OrchardError, match="holds no file that ends in"):
        list_photos(str(tmp_path))
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(OrchardError, match="a.jpg and a.png would both have the id 'a'"):
        list_photos(str(tmp_path))


def test_name_photos_takes_names_without_endings_and_refuses_clashes():
    assert name_photos(["x/b.JPG", "a.png"]) == [("b", "x/b.JPG"), ("a", "a.png")]
    with pytest.raises(OrchardError, match="x/a.jpg and y/a.jpg would both have the id 'a'"):
        name_photos(["x/a.jpg", "y/a.jpg"])


def test_read_batches_of_a_file_that_cannot_be_read_gives_its_problem(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "folder.jpg" / "a.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    photos = list_photos(str(tmp_path))
    assert [image_id for image_id, _ in photos] == ["folder.jpg/a", "gone"]
    ((good, bad),) = read_batches(photos, batch_size=8)
    assert not good.problem
    assert bad.problem == "No such file or directory"
