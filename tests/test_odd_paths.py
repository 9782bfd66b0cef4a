"""All four stages in a folder whose name means something to shells, globs, URLs or flags."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest

from ensemble import EnsembleConfig, SavedPredictor
from ensemble import run as run_ensemble
from ensemble.predict import PredictOptions
from orchard.errors import OrchardError
from orchard.formats import load_manifest
from tests.data_prep import builders
from tests.trainer import runs
from trainer import train_and_evaluate

# A leading dash, spaces, a glob's letters, an escape of URLs, a fragment, and no ASCII.
_ODD = "-a[1] b*c? d{e} %20#\u00fc\u96ea\\f"


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The folder that the commands run in: paths are relative, so that they begin with a dash."""
    folder = tmp_path_factory.mktemp("odd")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def dataset(here):
    given = builders.make_input(here / _ODD / "in", rows=24, test_rows=3)
    given = {name: path.replace(f"{here}/", "") for name, path in given.items()}
    assert all(path.startswith("-a[1]") for path in given.values())
    return builders.run(f"{_ODD}/data", folds=2, **given)[0]


@pytest.fixture(scope="module")
def run_dir(dataset):
    backbone = runs.tiny_backbone(f"{_ODD}/tiny[1].keras")
    config = runs.config(dataset, backbone, f"{_ODD}/runs/one", epochs=1, eval_every_epochs=1)
    assert train_and_evaluate(config) == 0
    return config.run_dir


@pytest.fixture(scope="module")
def output_dir(dataset, run_dir):
    run_ensemble(EnsembleConfig(members=(run_dir,), dataset=dataset, output_dir=f"{_ODD}/ensemble"))
    return f"{_ODD}/ensemble"


def test_prepare_in_an_odd_folder_makes_the_dataset_of_any_other(dataset, here):
    assert load_manifest(dataset).splits.keys() == {"fold0", "fold1", "test"}
    shutil.copytree(here / _ODD / "in", here / "plain")
    given = {"csv": "plain/train.csv", "test_csv": "plain/test.csv", "images_dir": "plain/images"}
    again, _ = builders.run("plain/data", folds=2, **given)
    assert builders.digests(dataset) == builders.digests(again)


def test_train_in_an_odd_folder_finishes(run_dir):
    assert os.path.exists(f"{run_dir}/run.json") and os.path.exists(f"{run_dir}/report.html")


def test_ensemble_in_an_odd_folder_predicts(output_dir, here):
    table = pd.read_csv(f"{output_dir}/predictions.csv")
    assert list(table["image_id"]) == ["t000", "t001", "t002"]


@pytest.mark.parametrize("model", ["ensemble", "run"])
def test_predict_in_an_odd_folder_is_the_ensemble(model, output_dir, run_dir):
    table = pd.read_csv(f"{output_dir}/predictions.csv")
    predictor = SavedPredictor({"ensemble": output_dir, "run": run_dir}[model])
    found = predictor.predict([f"{_ODD}/in/images/{name}.jpg" for name in table["image_id"]])
    np.testing.assert_allclose(found, table[list(builders.CLASSES)], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "flag"),
    [
        (lambda p: builders.config(p, csv="x", images_dir="x"), "data_dir"),
        (lambda p: builders.config("x", csv="x", images_dir=p), "images_dir"),
        (lambda p: runs.config("x", "mobilenet", p), "run_dir"),
        (lambda p: EnsembleConfig(members=("x",), dataset="x", output_dir=p), "output_dir"),
        (lambda p: EnsembleConfig(members=("x", p), dataset="x", output_dir="x"), "members"),
        (lambda p: PredictOptions(model="x", images_dir=p, output="x"), "images_dir"),
        (lambda p: PredictOptions(model="x", images_dir="x", output=p), "output"),
    ],
)
def test_path_with_a_line_break_is_refused_in_one_line(make, flag):
    with pytest.raises(OrchardError) as caught:
        make("two\nlines")
    message = str(caught.value)
    assert message.startswith(f"--{flag}=") and "has a line break" in message
    assert "\n" not in message
