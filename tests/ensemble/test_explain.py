import csv
import os
import shutil

import numpy as np
import pytest

from ensemble import EnsembleConfig, run
from ensemble.explain import ExplainOptions, explain
from orchard import storage
from orchard.errors import OrchardError
from tests.ensemble.builders import make_ensemble, read_jpeg
from tests.ensemble.explaining import planted
from trainer.data import load_records


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on the set with planted patches, four labels of whose held-out fold are wrong."""
    folder = tmp_path_factory.mktemp("planted")
    dataset, places = planted.make_dataset(folder / "tiny" / "1.0.0", wrong=4)
    path = planted.train(dataset, planted.backbone(folder / "b.keras"), folder / "run")
    return dataset, places, path


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """An ensemble of members without Keras models, and the images that it predicted as files."""
    root = tmp_path_factory.mktemp("ensemble")
    result = make_ensemble(root)
    for row, image_id in enumerate(result.inputs.records.ids):
        (root / "photos").mkdir(exist_ok=True)
        (root / "photos" / f"{image_id}.jpg").write_bytes(read_jpeg(result.inputs.records, row))
    return root


def _rows(folder):
    with open(folder / "explained.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", ["auto", "occlusion"])
def test_peaks_are_inside_the_planted_patches(method, trained, tmp_path):
    dataset, places, path = trained
    lines = explain(
        ExplainOptions(
            model=path,
            dataset=dataset,
            split="fold0+fold1+fold2",
            output_dir=str(tmp_path),
            method=method,
            per_group=120,
            neighbors=0,
        )
    )
    assert ("run: Grad-CAM" if method == "auto" else "run: occlusion") in lines
    # Of the class that is there, in images that show one.
    shown = [
        planted.inside(float(row["peak_x"]), float(row["peak_y"]), places[row["image_id"]])
        for row in _rows(tmp_path)
        if row["image_id"] in places and row["class"] == row["predicted"] and row["peak_x"]
    ]
    assert len(shown) >= 5 and np.mean(shown) >= 0.9


def test_planted_wrong_labels_are_the_suspects_of_the_errors(trained, tmp_path):
    dataset, _, path = trained
    options = ExplainOptions(
        model=path, dataset=dataset, split="fold0", output_dir=str(tmp_path), per_group=8
    )
    lines = explain(options)
    assert lines[0].startswith("4 of 40 labeled images are predicted wrongly")
    wrong = {row["image_id"] for row in _rows(tmp_path) if row["suspect"] == "label"}
    planted_ones = set(load_records(dataset, "fold0").ids[:4].tolist())
    assert wrong <= planted_ones and len(wrong) >= 3
    page = (tmp_path / "explained.html").read_text()
    assert page.count("Most like it in training") == 4
    assert page.count('<figure class="near">') == 4 * options.neighbors
    first = page
    explain(options)  # Its features are kept; the page is the same.
    assert (tmp_path / "explained.html").read_text() == first


def test_photos_of_an_ensemble_are_shown_member_by_member(ensemble, tmp_path):
    lines = explain(
        ExplainOptions(
            model=str(ensemble / "out"),
            images_dir=str(ensemble / "photos"),
            output_dir=str(tmp_path),
            per_group=2,
        )
    )
    assert lines[0] == "9 images without labels: no errors are known."
    assert {row["member"] for row in _rows(tmp_path)} == {"a", "b"}
    assert "Most disputed" in (tmp_path / "explained.html").read_text()
    assert "a: occlusion (its Keras model cannot be loaded)" in lines


def test_explain_into_a_folder_that_another_writes_is_refused_and_changes_nothing(
    ensemble, tmp_path
):
    options = ExplainOptions(
        model=str(ensemble / "out" / "saved_model"),
        images_dir=str(ensemble / "photos"),
        output_dir=str(tmp_path),
        per_group=1,
    )
    (tmp_path / "explained.csv.77.tmp").touch()
    with storage.lock_folder(str(tmp_path), ""):
        with pytest.raises(OrchardError, match=f"{tmp_path} is being written by another process"):
            explain(options)
    assert os.listdir(tmp_path) == [storage.LOCK_FILE]


def test_saved_model_alone_is_asked_as_a_whole(ensemble, tmp_path):
    shutil.copytree(ensemble / "out" / "saved_model", tmp_path / "alone")
    photos = tmp_path / "photos"
    shutil.copytree(ensemble / "photos", photos)
    (photos / "page.jpg").write_text("<html>not found</html>")
    options = {
        "model": str(tmp_path / "alone"),
        "images_dir": str(photos),
        "output_dir": str(tmp_path / "explained"),
        "per_group": 1,
    }
    with pytest.raises(OrchardError, match=r"page\.jpg: .*--on_bad=skip"):
        explain(ExplainOptions(**options))
    assert not (tmp_path / "explained").exists()
    lines = explain(ExplainOptions(**options, on_bad="skip"))
    assert any("asked as a whole" in line for line in lines)
    assert {row["member"] for row in _rows(tmp_path / "explained")} == {"the model"}


def test_report_with_explain_shows_where_the_networks_look(trained, tmp_path):
    dataset, _, path = trained
    config = {"members": (path,), "dataset": dataset, "split": "fold0", "export": False}
    run(EnsembleConfig(**config, output_dir=str(tmp_path / "out"), explain=2))
    page = (tmp_path / "out" / "report.html").read_text()
    section = page.split("<h2>Where the networks look</h2>")[1].split("<h2>")[0]
    assert "Grad-CAM" in section and "Worst errors" in section


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "either --images_dir or --split"),
        ({"images_dir": "a", "split": "eval"}, "either --images_dir or --split"),
        ({"split": "eval"}, "give --dataset"),
        ({"split": "eval", "dataset": "d", "labels_csv": "l"}, "--labels_csv is for --images_dir"),
    ],
)
def test_options_that_contradict_each_other_are_refused(flags, message, tmp_path):
    with pytest.raises(OrchardError, match=message):
        ExplainOptions(model="m", output_dir=os.fspath(tmp_path), **flags)
