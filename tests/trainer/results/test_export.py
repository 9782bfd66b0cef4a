"""The SavedModel of a run, where others will run it."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, softmax

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import ExportDir, RunRecord, Task, fingerprint_saved_model, load_logits
from tests.trainer import runs
from trainer.checkpoints import files as checkpoint
from trainer.loop import train_and_evaluate
from trainer.models.build import BACKBONE_LAYER
from trainer.results import export, finish
from trainer.saved_config import SavedConfig


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path_factory.mktemp("run"),
        precision="mixed_bfloat16",
        epochs=2,
    )
    assert train_and_evaluate(config) == 0
    return config


def _images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)


def _load(run_dir):
    return tf.saved_model.load(os.path.join(run_dir, "saved_model"))


def test_export_keras_file_and_saved_model_agree_in_float32(config):
    import keras

    network = keras.models.load_model(os.path.join(config.run_dir, "model.keras"))
    dtypes = {layer.compute_dtype for layer in network.get_layer(BACKBONE_LAYER).layers}
    assert dtypes == {"float32"}
    logits = _load(config.run_dir).signatures["images"](images=tf.constant(_images()))["logits"]
    np.testing.assert_allclose(logits, network(_images().astype(np.float32)), atol=1e-5)


def test_images_signature_in_a_strategy_and_under_xla_gives_the_same_logits(config):
    loaded = _load(config.run_dir)
    signature = loaded.signatures["images"]
    images = tf.constant(_images())
    expected = signature(images=images)["logits"].numpy()
    compiled = tf.function(lambda x: signature(images=x)["logits"], jit_compile=True)
    np.testing.assert_allclose(compiled(images), expected, atol=1e-5)
    strategy = tf.distribute.OneDeviceStrategy("cpu:0")
    replicated = tf.function(
        lambda x: strategy.run(lambda y: signature(images=y)["logits"], args=(x,))
    )
    np.testing.assert_allclose(replicated(images), expected, atol=1e-6)
    both = tf.function(lambda x: strategy.run(compiled, args=(x,)))
    np.testing.assert_allclose(both(images), expected, atol=1e-5)


def test_default_signature_of_gray_and_odd_sized_files_gives_logits(config):
    from tests.trainer.datasets import jpeg

    files = [jpeg(np.full((9, 31), 77, np.uint8)), jpeg(_images(1)[0])]
    signature = _load(config.run_dir).signatures["serving_default"]
    logits = signature(image_bytes=tf.constant(files))["logits"]
    assert logits.shape == (2, runs.NUM_CLASSES) and np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("task", "activation"), [("single_label", softmax), ("multi_label", lambda x, axis: expit(x))]
)
def test_probabilities_signature_activates_the_logits_and_names_the_classes(
    tmp_path, task, activation
):
    import keras

    from tests.trainer.datasets import jpeg

    layers = [keras.Input((16, 16, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    network = keras.Sequential([*layers, keras.layers.Dense(2)])
    serving = export.ServingModule(network, ("a", "b"), Task(task), 16, 16, "squash", False)
    export.export(network, serving, ExportDir(str(tmp_path)))
    loaded, files = _load(tmp_path), tf.constant([jpeg(image) for image in _images()])
    assert loaded.task.numpy().decode() == task
    found = loaded.signatures["probabilities"](image_bytes=files)
    logits = loaded.signatures["serving_default"](image_bytes=files)["logits"].numpy()
    np.testing.assert_allclose(found["probabilities"], activation(logits, -1), atol=1e-6)
    assert found["class_names"].numpy().tolist() == [[b"a", b"b"]] * 4


def test_export_only_best_is_the_same_and_a_path_is_that_checkpoint(config):
    images = tf.constant(_images())
    before = _load(config.run_dir).signatures["images"](images=images)["logits"].numpy()
    os.remove(os.path.join(config.run_dir, "run.json"))
    assert finish.export_only(config.run_dir, "best") == 0
    after = _load(config.run_dir).signatures["images"](images=images)["logits"].numpy()
    np.testing.assert_array_equal(after, before)
    run = RunRecord.load(os.path.join(config.run_dir, "run.json"))
    assert run.class_names and run.cost.time.cpu_seconds > 0
    assert run.cost.train_images == 2 * 36  # Epochs of so many records.
    # Two convolutions with stride 2, and the head.
    first, second = 7 * 7 * 8 * (3 * 3 * 3), 3 * 3 * 16 * (3 * 3 * 8)
    assert run.cost.flops_per_image == 2 * (first + second + 16 * runs.NUM_CLASSES)

    step = checkpoint.steps(config.run_dir)[0]
    path = os.path.join(config.run_dir, "checkpoints", f"step-{step:09d}.npz")
    assert finish.export_only(config.run_dir, path) == 0
    other = _load(os.path.join(config.run_dir, f"export-{step:09d}"))
    assert not np.allclose(other.signatures["images"](images=images)["logits"], before)


def test_export_only_last_has_the_evaluated_weights(tmp_path, tiny_dataset, tiny_backbone):
    import keras

    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path,
        epochs=2,
        ema_momentum=0.5,
        keep_checkpoints=9,
        batch_size=0,
        batch_size_per_replica=8,
    )
    assert train_and_evaluate(config) == 0
    last = checkpoint.load_latest_checkpoint(config.run_dir)
    assert last.meta.progress.best_step == last.step
    assert finish.export_only(config.run_dir, "last") == 0
    exported = keras.models.load_model(tmp_path / f"export-{last.step:09d}" / "model.keras")
    scored = keras.models.load_model(tmp_path / "model.keras")
    output = tmp_path / f"export-{last.step:09d}"
    best, run = (RunRecord.load(str(path / "run.json")) for path in (tmp_path, output))
    assert (run.best_step, run.best_metric, run.eval_split) == (last.step, "last", "fold0")
    assert run.member_fingerprint == fingerprint_saved_model(str(output / "saved_model"))
    assert run.cost.time.wall_seconds > 0 and run.cost.train_images == 8 * last.step
    ours, theirs = (load_logits(str(p / "eval_logits" / "fold0.npz")) for p in (output, tmp_path))
    assert ours.ids.tolist() == theirs.ids.tolist()
    np.testing.assert_allclose(ours.logits, theirs.logits, atol=1e-4)
    assert run.scores["log_loss"] == pytest.approx(best.scores["log_loss"], abs=1e-4)
    for ours, theirs in zip(exported.get_weights(), scored.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    # Before the first step there is no average, only what training began with.
    start = os.path.join(config.run_dir, "checkpoints", "step-000000000.npz")
    assert finish.export_only(config.run_dir, start) == 0
    exported = keras.models.load_model(tmp_path / "export-000000000" / "model.keras")
    start = RunRecord.load(str(tmp_path / "export-000000000" / "run.json"))
    assert start.best_metric == "" and start.scores["log_loss"] > run.scores["log_loss"]
    assert all(kernel.any() for kernel in exported.get_weights() if kernel.ndim > 1)


def test_export_only_of_a_best_checkpoint_without_the_dataset_has_no_scores_and_says_so(
    config, tmp_path, capsys
):
    run_dir = str(shutil.copytree(config.run_dir, tmp_path / "run"))
    saved = SavedConfig.load(run_dir)
    gone = dataclasses.replace(saved.config, run_dir=run_dir, dataset=str(tmp_path / "gone"))
    dataclasses.replace(saved, config=gone).save()
    step = RunRecord.load(os.path.join(run_dir, "run.json")).best_step
    path = os.path.join(run_dir, "checkpoints", f"best-{step:09d}.npz")
    assert finish.export_only(run_dir, path) == 0
    assert f"without held-out logits and scores: {gone.dataset}" in capsys.readouterr().out
    run = RunRecord.load(os.path.join(run_dir, f"export-{step:09d}", "run.json"))
    assert (run.eval_split, run.scores, run.best_metric) == (None, {}, "log_loss")
    assert not os.path.exists(os.path.join(run_dir, f"export-{step:09d}", "eval_logits"))


def test_export_only_that_fails_leaves_the_run_unfinished(config, monkeypatch):
    def torn(*_, **__):
        raise OrchardError("no room")

    path = os.path.join(config.run_dir, "run.json")
    assert finish.export_only(config.run_dir, "best") == 0
    with monkeypatch.context() as patched:
        patched.setattr(storage, "replace_tree", torn)
        with pytest.raises(OrchardError, match="no room"):
            finish.export_only(config.run_dir, "best")
    assert not os.path.exists(path)
    assert finish.export_only(config.run_dir, "best") == 0 and os.path.exists(path)


def test_export_only_without_a_run_is_refused(tmp_path):
    with pytest.raises(OrchardError, match="no run directory"):
        finish.export_only(str(tmp_path), "best")


def test_saved_model_converted_to_litert_gives_its_logits(config):
    path = os.path.join(config.run_dir, "saved_model")
    converter = tf.lite.TFLiteConverter.from_saved_model(path, signature_keys=["images"])
    converted = tf.lite.Interpreter(model_content=converter.convert())
    images = _images(1)
    logits = converted.get_signature_runner("images")(images=images)["logits"]
    expected = _load(config.run_dir).signatures["images"](images=tf.constant(images))["logits"]
    np.testing.assert_allclose(logits, expected, atol=1e-5)
