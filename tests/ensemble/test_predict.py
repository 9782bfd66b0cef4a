import io
import shutil
import subprocess
import sys
from pathlib import Path

import google_crc32c
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ensemble import pipeline
from ensemble.config import EnsembleConfig
from ensemble.inference.folder import list_photos, read_batches
from ensemble.inference.partial import PartialRows
from ensemble.inference.predictor import SavedModel
from orchard.errors import OrchardError
from tests.ensemble.builders import CLASS_NAMES, make_dataset, make_member, read_jpeg
from trainer.evaluation.metrics import probabilities

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An ensemble, the dataset it predicted, and the same images as a folder of files."""
    root = tmp_path_factory.mktemp("predict")
    dataset = root / "leaves" / "1.0.0"
    make_dataset(dataset, {"fold0": 12, "fold1": 8, "test": 9})
    make_member(root / "a", dataset, seed=1)
    make_member(root / "b", dataset, seed=2, size=(20, 24))
    config = EnsembleConfig(
        members=(str(root / "a"), str(root / "b")),
        dataset=str(dataset),
        split="test",
        output_dir=str(root / "out"),
    )
    result = pipeline.run(config)
    (root / "photos").mkdir()
    for row, image_id in enumerate(result.inputs.records.ids):
        (root / "photos" / f"{image_id}.jpg").write_bytes(read_jpeg(result.inputs.records, row))
    return root, result


def _command(*flags):
    return subprocess.run(
        [sys.executable, "-m", "ensemble.predict", *flags],
        cwd=_ROOT,
        capture_output=True,
        text=True,
    )


def test_a_folder_gives_what_the_dataset_gave(world, tmp_path):
    root, result = world
    photos = tmp_path / "photos"
    shutil.copytree(root / "photos", photos)
    (photos / "page.jpg").write_text("<html>not found</html>")
    done = _command(
        f"--model={root / 'out'}",
        f"--images_dir={photos}",
        f"--output={tmp_path / 'p.csv'}",
        "--batch_size=4",
        "--on_bad=skip",
    )
    assert done.returncode == 0, done.stderr
    assert "9 predictions in" in done.stdout
    assert "skipped" in done.stdout and "page.jpg" in done.stdout
    table = pd.read_csv(tmp_path / "p.csv")
    expected = pd.read_csv(root / "out" / "predictions.csv")
    assert list(table["image_id"]) == list(expected["image_id"])
    names = list(CLASS_NAMES)
    np.testing.assert_allclose(table[names], expected[names], atol=1e-5)
    assert not (tmp_path / "p.csv.partial").exists()


def test_a_file_that_is_no_image_is_one_line_and_no_output(world, tmp_path):
    root, _ = world
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "page.jpg").write_text("<html>not found</html>")
    done = _command(
        f"--model={root / 'a'}",
        f"--images_dir={tmp_path / 'photos'}",
        f"--output={tmp_path / 'p.csv'}",
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "page.jpg" in last and "--on_bad=skip" in last
    assert not (tmp_path / "p.csv").exists()


def test_rows_of_an_unfinished_prediction_of_another_folder_are_not_used(world, tmp_path):
    root, _ = world
    sources = sorted((root / "photos").iterdir())[:4]
    for folder, contents in (("one", sources), ("other", sources[::-1])):
        (tmp_path / folder).mkdir()
        for number, content in enumerate(contents):
            shutil.copy(content, tmp_path / folder / f"photo_{number}.jpg")
    (tmp_path / "one" / "z.jpg").write_text("<html>not found</html>")

    def predict(folder, output):
        images = f"--images_dir={tmp_path / folder}"
        return _command(f"--model={root / 'a'}", images, "--batch_size=2", f"--output={output}")

    assert predict("one", tmp_path / "p.csv").returncode == 1
    assert (tmp_path / "p.csv.partial").exists()
    assert predict("other", tmp_path / "p.csv").returncode == 0
    assert predict("other", tmp_path / "fresh.csv").returncode == 0
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "fresh.csv").read_bytes()


def test_a_member_alone_is_a_model_too(world):
    root, result = world
    model = SavedModel(str(root / "a"))
    assert model.class_names == list(CLASS_NAMES)
    jpeg = read_jpeg(result.inputs.records, 0)
    expected = probabilities(result.logits[0][:1], "single_label")
    np.testing.assert_allclose(model([jpeg]), expected, atol=1e-5)
    assert SavedModel(str(root / "a" / "saved_model")).task == "single_label"


def test_undecodable_pixels_cost_their_own_row_alone(world):
    root, result = world
    model = SavedModel(str(root / "out" / "saved_model"))
    good = [read_jpeg(result.inputs.records, row) for row in range(2)]
    rows = model.try_each([good[0], b"\xff\xd8\xff\xe0 no scan", good[1]])
    assert rows[1] is None
    np.testing.assert_allclose(rows[0], result.probabilities[0], atol=1e-5)
    np.testing.assert_allclose(rows[2], result.probabilities[1], atol=1e-5)


def test_what_is_no_model_is_one_line(tmp_path):
    with pytest.raises(OrchardError, match="holds no saved_model.pb"):
        SavedModel(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises(OrchardError, match="cannot be loaded"):
        SavedModel(str(tmp_path))


def test_photos_that_a_camera_turned_are_turned_upright(tmp_path):
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


def test_photos_are_listed_by_path_and_order_is_kept(tmp_path):
    for name in ("b/x.jpeg", "a.jpg", "b/notes.txt", "c/d/y.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path) if not name.endswith("txt") else path.write_text("")
    photos = list_photos(str(tmp_path))
    assert [image_id for image_id, _ in photos] == ["a", "b/x", "c/d/y"]
    batches = list(read_batches(photos * 5, batch_size=2))
    assert [len(batch) for batch in batches] == [2] * 7 + [1]
    assert [p.image_id for batch in batches for p in batch] == ["a", "b/x", "c/d/y"] * 5


def test_folders_without_photos_and_clashing_names_are_one_line(tmp_path):
    with pytest.raises(OrchardError, match="no such folder"):
        list_photos(str(tmp_path / "absent"))
    with pytest.raises(OrchardError, match="holds no file that ends in"):
        list_photos(str(tmp_path))
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(OrchardError, match="a.jpg and a.png would both have the id 'a'"):
        list_photos(str(tmp_path))


def test_partial_rows_survive_a_kill_and_do_not_mix_models(tmp_path):
    output = str(tmp_path / "p.csv")
    first = PartialRows(output, "model1")
    first.add("a", 1, np.zeros(2, np.float32))
    first.add("b", 2, np.ones(2, np.float32))
    first.save()
    first.add("c", 3, np.full(2, 0.5, np.float32))  # killed before it was saved
    (tmp_path / "p.csv.partial" / "part-000001.npz.77.tmp").write_bytes(b"PK cut")
    again = PartialRows(output, "model1")
    assert sorted(again.rows) == ["a", "b"]
    again.add("c", 3, np.full(2, 0.5, np.float32))
    again.save()
    assert sorted(PartialRows(output, "model1").rows) == ["a", "b", "c"]
    assert PartialRows(output, "model2").rows == {}
    again.remove()
    assert PartialRows(output, "model1").rows == {}


def test_rows_of_files_that_were_replaced_or_removed_are_forgotten(tmp_path):
    paths = {name: str(tmp_path / f"{name}.jpg") for name in "abc"}
    for path in paths.values():
        Path(path).write_bytes(b"old")
    output = str(tmp_path / "p.csv")
    partial = PartialRows(output, "model")
    for name in "abc":
        partial.add(name, google_crc32c.value(b"old"), np.zeros(2, np.float32))
    partial.save()
    Path(paths["b"]).write_bytes(b"new")  # of the same size
    Path(paths["c"]).unlink()
    again = PartialRows(output, "model")
    again.forget_changed(paths)
    assert list(again.rows) == ["a"]
    again.add("b", google_crc32c.value(b"new"), np.ones(2, np.float32))
    again.save()
    last = PartialRows(output, "model")
    last.forget_changed(paths)
    assert last.rows["b"].tolist() == [1.0, 1.0]


def test_a_damaged_part_is_one_line(tmp_path):
    part = tmp_path / "p.csv.partial" / "part-000000.npz"
    part.parent.mkdir()
    part.write_bytes(b"junk")
    with pytest.raises(OrchardError, match="part-000000.npz is damaged .* delete it and run the"):
        PartialRows(str(tmp_path / "p.csv"), "model")


def test_a_file_that_was_replaced_is_predicted_again(world, tmp_path):
    root, _ = world
    one, other = sorted((root / "photos").iterdir())[:2]
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(one, photos / "a.jpg")
    (photos / "z.jpg").write_text("<html>not found</html>")

    def predict(output):
        flags = ("--batch_size=1", f"--images_dir={photos}", f"--output={tmp_path / output}")
        return _command(f"--model={root / 'a'}", *flags)

    assert predict("p.csv").returncode == 1
    assert (tmp_path / "p.csv.partial").exists()
    shutil.copy(other, photos / "a.jpg")
    shutil.copy(one, photos / "z.jpg")
    assert predict("p.csv").returncode == 0
    assert predict("fresh.csv").returncode == 0
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "fresh.csv").read_bytes()


def test_files_that_cannot_be_read_are_bad_and_folders_named_like_images_are_folders(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "folder.jpg" / "a.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    photos = list_photos(str(tmp_path))
    assert [image_id for image_id, _ in photos] == ["folder.jpg/a", "gone"]
    ((good, bad),) = read_batches(photos, batch_size=8)
    assert not good.problem
    assert bad.problem == "No such file or directory"


def test_a_model_that_gives_no_numbers_is_one_line(world, tmp_path):
    root, result = world
    make_member(tmp_path / "nan", root / "leaves" / "1.0.0", noise=float("nan"))
    model = SavedModel(str(tmp_path / "nan"))
    with pytest.raises(OrchardError, match="gives logits that are not finite"):
        model.try_each([read_jpeg(result.inputs.records, 0)])
