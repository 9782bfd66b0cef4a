"""A dataset that has the class alone, and no vector, through training, ensemble and prediction."""

import pandas as pd

from ensemble import EnsembleConfig
from ensemble import run as run_ensemble
from orchard.formats import load_logits, load_manifest
from tests.data_prep import builders
from tests.trainer import runs
from trainer import train_and_evaluate

_CLASSES = 300


def test_many_classes_are_trained_evaluated_and_predicted(tmp_path):
    given = builders.make_input(tmp_path / "in", rows=24, test_rows=3)
    rows = [(f"a{row:03d}", f"class{row % 12}") for row in range(24)]
    given["csv"] = builders.write_csv(given["csv"], [("image_id", "label"), *rows])
    names = tuple(f"class{number}" for number in range(_CLASSES))
    dataset, _ = builders.run(tmp_path / "data", folds=2, class_names=names, **given)
    assert not load_manifest(dataset).has_targets
    backbone = runs.tiny_backbone(tmp_path / "tiny.keras")
    config = runs.config(dataset, backbone, tmp_path / "run", epochs=1, eval_every_epochs=1)
    assert train_and_evaluate(config) == 0
    table = load_logits(f"{config.run_dir}/eval_logits/fold0.npz")
    labels = dict(rows)
    found = [names[at] for at in table.targets.argmax(1)]
    assert found == [labels[image_id] for image_id in table.ids.tolist()]
    run_ensemble(
        EnsembleConfig(
            members=(config.run_dir,), dataset=dataset, output_dir=str(tmp_path / "ensemble")
        )
    )
    predictions = pd.read_csv(tmp_path / "ensemble" / "predictions.csv")
    assert list(predictions["image_id"]) == ["t000", "t001", "t002"]
    assert set(names) <= set(predictions.columns)
