import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from ensemble import SavedPredictor, pipeline
from ensemble.combine import COMBINERS, Combination, activate
from ensemble.members import load_members
from ensemble.output.export import EnsembleModel, save_ensemble
from orchard.errors import OrchardError
from orchard.formats import WARMUP_FILE, Task
from tests.data_prep.builders import rotated_jpeg
from tests.ensemble.builders import CLASS_NAMES, config_of_task, make_members_of_tasks, read_jpeg

# Runs without the project on its path: TensorFlow and the model's folder are all it gets.
_ELSEWHERE = """
import sys, glob, os
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
files = sorted(glob.glob(os.path.join(sys.argv[2], "*.jpg")))
outputs = model.signatures["serving_default"](
    image_bytes=tf.constant([open(f, "rb").read() for f in files]))
assert "ensemble" not in sys.modules and "trainer" not in sys.modules
np.savez(sys.argv[3], probabilities=outputs["probabilities"].numpy(),
         class_names=outputs["class_names"].numpy().astype(str),
         names=model.class_names.numpy().astype(str))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """For each task a dataset and members m0, m1, m2 that differ in size and resize."""
    return make_members_of_tasks(
        tmp_path_factory.mktemp("export"),
        {"fold0": 90, "fold1": 8, "test": 11},
        [
            {"noise": at + 0.5, "resize": resize, "augment": {"flips": "both"}}
            for at, resize in enumerate(("squash", "crop", "pad"))
        ],
    )


def _config(root, output, **overrides):
    return config_of_task(root, output, **{"weights": "2,1,1", **overrides})


def _check_members(model, result, tolerance):
    """Each member with a weight says what it says by itself, in the same pass as the ensemble."""
    jpegs = tf.constant(_jpegs(result.inputs.records))
    found = model.signatures["members"](image_bytes=jpegs)
    np.testing.assert_allclose(found["probabilities"], result.probabilities, atol=tolerance)
    at = list(result.rule.members)
    names = [result.inputs.members[one].name.encode() for one in at]
    assert found["member_names"].numpy().tolist() == [names] * len(jpegs)
    expected = np.stack([activate(result.logits[one], result.rule.combiner.task) for one in at], 1)
    np.testing.assert_allclose(found["member_probabilities"], expected, atol=1e-5)
    top = model.signatures["top_k"](image_bytes=jpegs, k=tf.ones(len(jpegs), tf.int32))
    likeliest = np.asarray(CLASS_NAMES)[found["probabilities"].numpy().argmax(axis=1)]
    assert top["classes"].numpy().astype(str)[:, 0].tolist() == likeliest.tolist()


def _jpegs(records):
    return [read_jpeg(records, row) for row in range(len(records))]


@pytest.mark.parametrize(
    ("task", "overrides"),
    [
        ("single_label", {"combine": "logits", "calibrate": True, "tta": "flips"}),
        ("single_label", {"combine": "rank"}),
        ("multi_label", {"combine": "geometric", "calibrate": True}),
        ("multi_label", {"combine": "probabilities", "weights": "0,1,2", "calibrate": True}),
        ("single_label", {"weights": "stack", "metric": "log_loss"}),
        ("multi_label", {"weights": "stack", "metric": "log_loss"}),
    ],
)
def test_saved_ensemble_gives_the_predictions(task, overrides, world, tmp_path):
    result = pipeline.run(_config(world / task, tmp_path / "out", **overrides))
    if "metric" in overrides:
        assert result.fit.learned.chosen.name == overrides["weights"]
    model = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    records = result.inputs.records
    outputs = model.signatures["serving_default"](image_bytes=tf.constant(_jpegs(records)))
    # Ranks among few rows are steep: they turn float32's noise into more than it was.
    tolerance = 1e-4 if overrides.get("combine") == "rank" else 1e-5
    np.testing.assert_allclose(outputs["probabilities"], result.probabilities, atol=tolerance)
    _check_members(model, result, tolerance)
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    np.testing.assert_allclose(outputs["probabilities"], table[list(CLASS_NAMES)], atol=tolerance)


def test_saved_ensemble_runs_without_our_code_and_without_the_members(world, tmp_path):
    shutil.copytree(world / "single_label", tmp_path, dirs_exist_ok=True)
    result = pipeline.run(_config(tmp_path, tmp_path / "out", calibrate=True))
    moved = tmp_path / "elsewhere" / "1"
    shutil.move(tmp_path / "out" / "saved_model", moved)
    images = tmp_path / "images"
    images.mkdir()
    for image_id, jpeg in zip(
        result.inputs.records.ids, _jpegs(result.inputs.records), strict=True
    ):
        (images / f"{image_id}.jpg").write_bytes(jpeg)
    for at in range(3):
        shutil.rmtree(tmp_path / f"m{at}")
    shutil.rmtree(tmp_path / "leaves")
    (tmp_path / "elsewhere.py").write_text(_ELSEWHERE)
    subprocess.run(
        [sys.executable, "-I", "elsewhere.py", str(moved), str(images), "answer.npz"],
        cwd=tmp_path,
        check=True,
        env={"PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    answer = np.load(tmp_path / "answer.npz")
    np.testing.assert_allclose(answer["probabilities"], result.probabilities, atol=1e-5)
    assert answer["class_names"].shape == (11, 3)
    assert answer["class_names"][0].tolist() == answer["names"].tolist() == list(CLASS_NAMES)


def test_saved_ensemble_of_images_gives_what_their_files_give(world, tmp_path):
    # m0 alone: a crop or a smaller scale is left to libjpeg when a file is decoded.
    config = _config(world / "single_label", tmp_path / "out", weights="1,0,0")
    result = pipeline.run(config)
    model = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    jpegs = _jpegs(result.inputs.records)
    pixels = tf.stack([tf.io.decode_jpeg(jpeg, 3, dct_method="INTEGER_ACCURATE") for jpeg in jpegs])
    outputs = model.signatures["images"](images=pixels)
    np.testing.assert_allclose(outputs["probabilities"], result.probabilities, atol=1e-5)
    # What was not asked for, a cascade or sets, leaves nothing behind.
    assert set(model.signatures) == {"serving_default", "images", "members", "top_k"}
    assert set(outputs) == {"probabilities", "class_names"}
    with pytest.raises(OrchardError, match="gives no prediction sets"):
        SavedPredictor(str(tmp_path / "out")).sets(result.probabilities)
    record = (tmp_path / "out" / "weights.json").read_text()
    assert "cascade" not in record and "conformal" not in record
    assert len(model.members) == 1  # a member without weight stays out
    serve = model.signatures["serving_default"]
    for row, jpeg in enumerate(jpegs[:3]):
        alone = serve(image_bytes=tf.constant([jpeg]))["probabilities"][0]
        np.testing.assert_allclose(alone, result.probabilities[row], atol=1e-5)


def test_saved_ensemble_of_keras_members_holds_their_weights_where_converters_look(tmp_path):
    # Exported when a run's SavedModel had its weights within the Keras model alone.
    runs = Path(__file__).parents[2] / "before" / "runs" / "tiny"
    (member,), _ = load_members([str(runs / "fold0")])
    combiner = COMBINERS["logits"](Task.SINGLE_LABEL)
    combination = Combination((combiner,), np.ones(1), np.ones((1, 1)), np.ones(1))
    names = member.class_names
    model = EnsembleModel([member], combination, names, np.full(len(names), 0.5), "none")
    save_ensemble(model, str(tmp_path / "saved_model"))
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    held = {id(variable) for variable in (*loaded.weights, loaded.class_names)}
    used = loaded.signatures["images"].variables
    assert len(used) > 1 and {id(variable) for variable in used} <= held


def test_ensemble_for_model_servers_is_the_saved_model_with_warmup_requests(world, tmp_path):
    config = _config(world / "single_label", tmp_path / "out", serving="leaves")
    result = pipeline.run(config)
    version = tmp_path / "out" / "serving" / "leaves" / "1"
    assert (version / WARMUP_FILE).stat().st_size > 0
    jpegs = _jpegs(result.inputs.records)
    served = SavedPredictor(version)
    np.testing.assert_allclose(
        np.stack(served.predict_jpegs(jpegs)), result.probabilities, atol=1e-5
    )
    rows = np.stack(served.predict_members(jpegs))
    assert served.member_names == ("m0", "m1", "m2") and rows.shape == (11, 4, 3)
    np.testing.assert_allclose(rows[:, 0], result.probabilities, atol=1e-5)
    assert not (tmp_path / "out" / "saved_model" / WARMUP_FILE).exists()


_OTHERS = [one for one in os.environ.get("ORCHARD_OTHER_PYTHONS", "").split(":") if one]


@pytest.mark.slow
@pytest.mark.skipif(
    not _OTHERS, reason="ORCHARD_OTHER_PYTHONS names no Pythons (a:b) with other TensorFlows"
)
def test_ensemble_for_model_servers_gives_the_same_in_other_tensorflows(world, tmp_path):
    result = pipeline.run(_config(world / "single_label", tmp_path / "out", serving="leaves"))
    images = tmp_path / "images"
    images.mkdir()
    for row, jpeg in enumerate(_jpegs(result.inputs.records)):
        (images / f"{row:03d}.jpg").write_bytes(jpeg)
    for orientation in range(1, 9):
        (images / f"turned_{orientation}.jpg").write_bytes(rotated_jpeg(orientation))
    files = [file.read_bytes() for file in sorted(images.iterdir())]
    served = tf.saved_model.load(str(tmp_path / "out" / "serving" / "leaves" / "1"))
    expected = served.signatures["members"](image_bytes=tf.constant(files))
    script = Path(__file__).with_name("elsewhere.py")
    for number, python in enumerate(_OTHERS):
        output = tmp_path / f"{number}.npz"
        done = subprocess.run(
            [python, "-I", script, tmp_path / "out/serving/leaves/1", images, output],
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": "-1"},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        print(done.stdout)
        found = np.load(output)
        for name in ("probabilities", "member_probabilities"):
            np.testing.assert_allclose(found[f"members/{name}"], expected[name], atol=1e-4)
