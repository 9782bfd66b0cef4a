"""Cascade and prediction sets from the command's config to the exported model."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from ensemble import SavedPredictor, pipeline
from ensemble.config import EnsembleConfig
from orchard.formats import ComputeTime, TrainingCost
from tests.ensemble.builders import CLASS_NAMES, make_dataset, make_member, read_jpeg


def _cost(flops):
    return dataclasses.asdict(TrainingCost(ComputeTime(5.0, 10.0, 0.0, "cpu", 1), 1000, flops, 50))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """For each task a dataset and three members of different sizes and costs."""
    root = tmp_path_factory.mktemp("unsure")
    for task in ("single_label", "multi_label"):
        dataset = root / task / "leaves" / "1.0.0"
        make_dataset(dataset, {"fold0": 150, "fold1": 8, "test": 60}, task=task)
        for at, flops in enumerate((1_000_000_000, 2_000_000_000, 5_000_000_000)):
            make_member(
                root / task / f"m{at}",
                dataset,
                size=(16 + 2 * at,) * 2,
                seed=at,
                task=task,
                noise=(3 - at) * 0.5,
                cost=_cost(flops),
            )
    return root


def _config(root, output, **overrides):
    values = {
        "members": tuple(str(root / f"m{at}") for at in range(3)),
        "dataset": str(root / "leaves" / "1.0.0"),
        "split": "test",
        "output_dir": str(output),
    }
    return EnsembleConfig(**{**values, **overrides})


@pytest.fixture(scope="module", params=["single_label", "multi_label"])
def finished(request, world, tmp_path_factory):
    """A finished ensemble with a cascade and sets."""
    out = tmp_path_factory.mktemp("out")
    config = _config(
        world / request.param,
        out,
        cascade_flops=0.6,
        conformal=0.9,
        calibrate=request.param == "multi_label",
        metric="log_loss",
    )
    return config, pipeline.run(config), out


def test_saved_model_of_a_cascade_with_sets_gives_the_predictions(finished):
    _, result, out = finished
    model = tf.saved_model.load(str(out / "saved_model"))
    records = result.inputs.records
    jpegs = [read_jpeg(records, row) for row in range(len(records))]
    outputs = model.signatures["serving_default"](image_bytes=tf.constant(jpegs))
    table = pd.read_csv(out / "predictions.csv", keep_default_na=False)
    table = table.set_index("image_id").loc[records.ids.tolist()]
    names = list(CLASS_NAMES)
    assert list(table.columns) == ["class", "prediction_set", *names]
    np.testing.assert_allclose(outputs["probabilities"], table[names], atol=1e-5)
    sets = [" ".join(np.array(names)[row]) for row in outputs["in_set"].numpy()]
    assert sets == table["prediction_set"].tolist()
    _, left = result.rule.staged(result.logits)
    assert len(np.unique(left)) > 1  # Some leave early, some go on.
    predictor = SavedPredictor(str(out))
    probabilities = np.stack(predictor.predict_jpegs(jpegs))
    np.testing.assert_array_equal(predictor.sets(probabilities), outputs["in_set"])
