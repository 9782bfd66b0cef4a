"""Cascade and prediction sets from the command's config to the exported model."""

import html
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from ensemble import SavedPredictor, pipeline
from ensemble.config import EnsembleConfig
from ensemble.main import remarks
from orchard.errors import OrchardError
from orchard.formats import EnsembleRecord
from tests.ensemble.builders import (
    CLASS_NAMES,
    config_of_task,
    cost,
    make_members_of_tasks,
    read_jpeg,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """For each task a dataset and three members of different sizes and costs."""
    return make_members_of_tasks(
        tmp_path_factory.mktemp("unsure"),
        {"fold0": 150, "fold1": 8, "test": 60},
        [
            {"noise": noise, "cost": cost(10.0, flops)}
            for noise, flops in ((1.5, 1_000_000_000), (1.0, 2_000_000_000), (0.5, 5_000_000_000))
        ],
    )


@pytest.fixture(scope="module", params=["single_label", "multi_label"])
def finished(request, world, tmp_path_factory):
    """A finished ensemble with a cascade and sets."""
    out = tmp_path_factory.mktemp("out")
    config = config_of_task(
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


def test_saved_model_of_a_cascade_has_a_static_form_that_xla_compiles(finished):
    _, result, out = finished
    if result.inputs.records.task == "multi_label":
        pytest.skip("one task is enough: compiling takes seconds")
    model = tf.saved_model.load(str(out / "saved_model"))
    pixels = np.random.default_rng(0).integers(0, 255, (7, 16, 16, 3), np.uint8)
    # Of the sizes that members want, so that nothing is left to resize.
    sized = {
        f"images_{size}x{size}": tf.image.resize(pixels, (size, size)) for size in (16, 18, 20)
    }
    sized = {name: tf.cast(images, tf.uint8) for name, images in sized.items()}

    @tf.function(jit_compile=True)
    def compiled(images):
        return model.signatures["static"](**images)

    found = compiled(sized)
    logits = np.stack(
        [
            tf.saved_model.load(f"{member.path}/saved_model").signatures["images"](
                images=sized[f"images_{member.input.height_px}x{member.input.width_px}"]
            )["logits"]
            for member in result.inputs.members
        ]
    )
    expected = result.rule(logits)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(found["in_set"], result.sets.method.sets(expected))


def test_predict_of_a_folder_gives_the_cascades_probabilities_and_sets(finished, tmp_path):
    _, result, out = finished
    records = result.inputs.records
    if records.task == "multi_label":
        pytest.skip("one task is enough: a process takes seconds")
    (tmp_path / "photos").mkdir()
    for row, image_id in enumerate(records.ids):
        (tmp_path / "photos" / f"{image_id}.jpg").write_bytes(read_jpeg(records, row))
    subprocess.run(
        [
            *(sys.executable, "-m", "ensemble.predict", f"--model={out}", "--batch_size=7"),
            f"--images_dir={tmp_path / 'photos'}",
            f"--output={tmp_path / 'p.csv'}",
        ],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
    )
    found = pd.read_csv(tmp_path / "p.csv", keep_default_na=False)
    expected = pd.read_csv(out / "predictions.csv", keep_default_na=False)
    assert list(found.columns) == list(expected.columns)
    texts = ["image_id", "class", "prediction_set"]
    pd.testing.assert_frame_equal(found[texts], expected[texts])
    names = list(CLASS_NAMES)
    np.testing.assert_allclose(found[names], expected[names], atol=1e-5)


def test_run_says_everywhere_what_cascade_and_sets_come_to(finished):
    config, result, out = finished
    record = EnsembleRecord.load(str(out / "weights.json"))
    assert record.cascade.used and record.cascade.max_flops_share == 0.6
    assert record.cascade.flops_per_image <= 0.6 * 8_000_000_000
    assert record.price.flops_per_image == record.cascade.flops_per_image
    assert record.cascade.stages[-1].min_confidence is None
    assert all(0 < stage.min_confidence < 1 for stage in record.cascade.stages[:-1])
    assert sum(stage.left_share for stage in record.cascade.stages) == pytest.approx(1)
    assert record.conformal.level == 0.9 and record.conformal.kept > 0.8
    said = remarks(config, result)
    page = html.unescape((out / "report.html").read_text())
    assert result.cascade.sentence in said and result.cascade.sentence in page
    assert result.sets.sentence in said
    assert "at 80% answered, " in page and "Coverage by class" in page
    assert page.count("<h2>Cascade</h2>") == page.count("<h2>Prediction sets</h2>") == 1


def test_run_scores_the_cascade_and_its_cost_as_the_ensemble(finished):
    _, result, out = finished
    held_out = result.fit.out_of_fold
    np.testing.assert_array_equal(held_out.probabilities, result.cascade.found.probabilities)
    ensemble = result.held_out_board.ensemble
    assert ensemble.candidate.price.flops_per_image == result.cascade.found.flops
    table = pd.read_csv(out / "predictions_out_of_fold.csv")
    np.testing.assert_allclose(table[list(CLASS_NAMES)], held_out.probabilities, atol=1e-6)


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        ({"cascade": 0.1, "cascade_flops": 0.5}, "--cascade and --cascade_flops do not go"),
        ({"cascade": -0.1}, "--cascade"),
        ({"cascade_flops": 1.0}, "--cascade_flops"),
        ({"conformal": 1.0}, "--conformal"),
        ({"conformal_method": "lac"}, "--conformal_method=lac needs --conformal"),
        ({"cascade": 0.1, "combine": "rank"}, "--cascade does not go with --combine=rank"),
        ({"conformal": 0.9, "combine": "rank"}, "--conformal does not go with --combine=rank"),
    ],
)
def test_config_that_contradicts_itself_is_refused(overrides, match):
    with pytest.raises(OrchardError, match=match):
        EnsembleConfig(members=("a", "b"), dataset="d", output_dir="o", **overrides)


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        ({"conformal": 0.999}, "--conformal=0.999 needs 2000 held-out images"),
        ({"conformal": 0.9, "conformal_method": "risk_control"}, "not for single_label datasets"),
        ({"cascade": 0.1, "weights": "0,1,0"}, "--cascade=0.1 needs two networks with a weight"),
    ],
)
def test_run_that_cannot_be_is_refused_before_anything_is_written(
    overrides, match, world, tmp_path
):
    with pytest.raises(OrchardError, match=match):
        pipeline.run(config_of_task(world / "single_label", tmp_path, export=False, **overrides))
    assert not (tmp_path / "predictions.csv").exists()
