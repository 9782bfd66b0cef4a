"""What a run leaves, and leaves again without training."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    EVAL_LOGITS,
    DatasetOfRun,
    RunRecord,
    WeightsCheckpoint,
    WeightsMeta,
    fingerprint_saved_model,
    load_logits,
    save_checkpoint_file,
)
from tests.records import run_record
from tests.trainer import runs
from trainer.checkpoints import files as checkpoint
from trainer.loop import train_and_evaluate
from trainer.results import finish
from trainer.saved_config import SavedConfig


def _images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)


def _load(run_dir):
    return tf.saved_model.load(os.path.join(run_dir, "saved_model"))


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


@pytest.mark.parametrize("shape", [None, (1, runs.NUM_CLASSES), (18, 9)])
def test_export_only_of_a_best_checkpoint_of_another_run_is_refused(shape, config, tmp_path):
    path = str(tmp_path / "best-000000001.npz")
    arrays = {"weight/00000": np.zeros(1)}
    if shape:
        arrays[EVAL_LOGITS] = np.zeros(shape, np.float32)
    save_checkpoint_file(path, WeightsCheckpoint(1, arrays, WeightsMeta({})))
    with pytest.raises(OrchardError, match="step 1 has no logits of the .*it is of another run"):
        finish.export_only(config.run_dir, path)
    assert not os.path.exists(os.path.join(config.run_dir, "export-000000001"))


def test_export_only_without_a_run_is_refused(tmp_path):
    with pytest.raises(OrchardError, match="no run directory"):
        finish.export_only(str(tmp_path), "best")


def test_is_finished_of_no_record_is_false(tmp_path):
    assert not finish.is_finished(runs.config(tmp_path / "data", "mobilenet_v2", tmp_path))


def test_is_finished_of_the_same_flags_is_true_even_without_the_dataset(tmp_path):
    config = runs.config(tmp_path / "gone", "mobilenet_v2", tmp_path)
    run_record(config=config.to_json()).save(str(tmp_path / "run.json"))
    assert finish.is_finished(config)
    # What changes how fast it is, and not what it gives, may differ.
    assert finish.is_finished(dataclasses.replace(config, log_every_steps=7))
    with pytest.raises(OrchardError, match="finished training with other flags: --seed"):
        finish.is_finished(dataclasses.replace(config, seed=5))


def test_is_finished_of_a_dataset_of_other_content_is_refused(tmp_path, tiny_dataset):
    config = runs.config(tiny_dataset, "mobilenet_v2", tmp_path)
    other = DatasetOfRun("tiny", "1.0.0", "another fingerprint", config.dataset)
    run_record(config=config.to_json(), dataset=other).save(str(tmp_path / "run.json"))
    with pytest.raises(OrchardError, match="trained on another content of the dataset"):
        finish.is_finished(config)


def test_finish_run_without_evaluated_weights_is_refused(config, tmp_path):
    SavedConfig.load(config.run_dir)
    shutil.copy(os.path.join(config.run_dir, "config.json"), tmp_path)
    with pytest.raises(OrchardError, match="holds no evaluated weights yet; train first"):
        finish.finish_run(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["config.json"]
