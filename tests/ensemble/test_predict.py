import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble.predict import PredictOptions
from orchard.errors import OrchardError
from tests.ensemble.builders import CLASS_NAMES, make_ensemble, read_jpeg

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An ensemble, the dataset it predicted, and the same images as a folder of files."""
    root = tmp_path_factory.mktemp("predict")
    result = make_ensemble(root)
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


def test_predict_of_a_folder_gives_what_the_dataset_gave(world, tmp_path):
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


def test_predict_with_a_file_that_is_no_image_is_refused_without_output(world, tmp_path):
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


def test_predict_after_a_failure_on_another_folder_starts_anew(world, tmp_path):
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


def test_predict_again_after_a_file_was_replaced_predicts_it_anew(world, tmp_path):
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


def test_predict_of_single_files_shows_them_and_writes_their_likeliest_classes(world, tmp_path):
    root, result = world
    one, other = [root / "photos" / f"{image_id}.jpg" for image_id in result.inputs.records.ids[:2]]
    done = _command(
        f"--model={root / 'out'}",
        f"--images={one},{other}",
        f"--output={tmp_path / 'p.csv'}",
        "--top_k=2",
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "p.csv")
    columns = ["image_id", "class_1", "probability_1", "class_2", "probability_2"]
    assert list(table.columns) == columns
    assert list(table["image_id"]) == [one.stem, other.stem]
    order = np.argsort(-result.probabilities[0])[:2]
    assert list(table.loc[0, ["class_1", "class_2"]]) == [CLASS_NAMES[at] for at in order]
    expected = result.probabilities[0][order].astype(float)
    found = table.loc[0, ["probability_1", "probability_2"]].astype(float)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert f"{one.stem}: {CLASS_NAMES[order[0]]} {expected[0]:.2f}, " in done.stdout


def test_predict_of_a_list_of_ids_keeps_their_spelling_and_order_and_scores_them(world, tmp_path):
    root, result = world
    ids = sorted(result.inputs.records.ids)
    listed = [f"{ids[3]}.jpg", ids[1]]
    (tmp_path / "ids.csv").write_text("image_id\n" + "\n".join(listed) + "\n")
    labels = "".join(f"{image_id}.jpg,rust\n" for image_id in ids[:3])
    (tmp_path / "labels.csv").write_text("image_id,label\n" + labels)
    done = _command(
        f"--model={root / 'a'}",
        f"--images_dir={root / 'photos'}",
        f"--ids_csv={tmp_path / 'ids.csv'}",
        f"--labels_csv={tmp_path / 'labels.csv'}",
        f"--output={tmp_path / 'p.csv'}",
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "p.csv")
    assert list(table["image_id"]) == listed
    hit = float(table.loc[1, "class"] == "rust")
    lines = done.stdout.splitlines()
    at = lines.index("Scores on 1 labeled images:")
    assert lines[at + 1].split()[:2] == ["accuracy", f"{hit:.4f}"]


def test_predict_of_class_folders_scores_them(world, tmp_path):
    root, _ = world
    sources = sorted((root / "photos").iterdir())[:6]
    for number, content in enumerate(sources):
        folder = tmp_path / "photos" / CLASS_NAMES[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(content, folder)
    done = _command(
        f"--model={root / 'out'}",
        f"--images_dir={tmp_path / 'photos'}",
        f"--output={tmp_path / 'p.csv'}",
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "p.csv")
    right = (table["image_id"].str.split("/").str[0] == table["class"]).mean()
    assert "Scores on 6 labeled images:" in done.stdout
    assert f"accuracy           {right:.4f}  (" in done.stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({}, "--images_dir is required (or --images: single files)"),
        ({"images": ("a.jpg",), "images_dir": "d"}, "--images and --images_dir do not go together"),
        ({"images": ("a.jpg",), "ids_csv": "c"}, "--images and --ids_csv do not go together"),
        (
            {"images_dir": "d", "top_k": 2, "sample_submission": "s.csv"},
            "--top_k and --sample_submission do not go together",
        ),
    ],
)
def test_predict_options_that_contradict_each_other_are_refused(flags, words):
    with pytest.raises(OrchardError, match=re.escape(words)):
        PredictOptions(model="m", output="o", **flags)
