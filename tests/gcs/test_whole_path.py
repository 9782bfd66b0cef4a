"""The three stages on gs://, with one request in ten failing: the demo, smaller."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from data_prep.config import PrepConfig
from data_prep.pipeline import prepare
from ensemble import pipeline
from ensemble.config import EnsembleConfig
from tests.gcs_server.conditions import Conditions
from tests.trainer import runs
from trainer.checkpoints import files
from trainer.loop import train_and_evaluate

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fashion_mnist"
# All kinds but "corrupt", which TensorFlow cannot tell from damage at rest.
FAULTS = Conditions(
    fault_rate=0.1, fault_kinds=("429", "503", "reset", "lost_response", "truncate")
)

# What roles/storage.objectUser allows: nothing on the bucket itself, its metadata neither.
OBJECTS_ONLY = Conditions(deny_status=403, match="^bucket ")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The first rows of the example's CSVs."""
    folder = tmp_path_factory.mktemp("tables")
    for name, count in (("train", 96), ("test", 20), ("test_labels", 20)):
        with open(EXAMPLE / f"{name}.csv", newline="") as file:
            rows = list(csv.reader(file))[: count + 1]
        with open(folder / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return runs.tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny.keras")


def last_weights(run_dir):
    arrays = files.load_latest_checkpoint(run_dir).arrays
    return {name: array.tobytes() for name, array in arrays.items()}


def test_csv_to_predictions_with_faults_is_that_without(
    gcs, tables, backbone, tmp_path, monkeypatch
):
    gcs.set_conditions(FAULTS)
    dataset = prepare(
        PrepConfig(
            csv=str(tables / "train.csv"),
            images_dir=str(EXAMPLE / "images"),
            test_csv=str(tables / "test.csv"),
            name="clothes",
            version="1.0.0",
            data_dir=gcs.path("tfds"),
            folds=3,
        )
    )
    config = runs.config(
        dataset,
        backbone,
        gcs.path("runs", "a"),
        image_size="28",
        epochs=1,
        eval_every_epochs=1,
        deterministic=True,
    )
    assert train_and_evaluate(config) == 0
    quiet = dataclasses.replace(config, run_dir=gcs.path("runs", "b"))
    gcs.set_conditions(OBJECTS_ONLY)
    assert train_and_evaluate(quiet) == 0
    assert last_weights(config.run_dir) == last_weights(quiet.run_dir)

    ensemble = EnsembleConfig(
        members=(config.run_dir, quiet.run_dir),
        dataset=dataset,
        split="test",
        output_dir=gcs.path("ensemble", "quiet"),
        labels_csv=str(tables / "test_labels.csv"),
    )
    pipeline.run(dataclasses.replace(ensemble, export=False))
    gcs.set_conditions(FAULTS)
    faulty = dataclasses.replace(ensemble, output_dir=gcs.path("ensemble", "faulty"))
    pipeline.run(faulty)
    assert sum(entry["fault"] != "" for entry in gcs.take_log()) >= 3
    assert gcs.read("ensemble/faulty/predictions.csv") == gcs.read("ensemble/quiet/predictions.csv")
    assert json.loads(gcs.read("ensemble/faulty/weights.json"))["schema_version"]
    assert "ensemble/faulty/saved_model/saved_model.pb" in gcs.objects()
