"""Each thing that a flag can ask of a training, on the tiny network."""

import glob
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import load_checkpoint_file
from orchard.formats.logits import load_logits
from tests.trainer import runs
from trainer import loop
from trainer.checkpoints import files as checkpoint
from trainer.data.load import load_records
from trainer.evaluation import evaluate
from trainer.loop import train_and_evaluate
from trainer.runtime import interruption
from trainer.runtime.accelerator import Accelerator
from trainer.training.assembly import prepare
from trainer.training.progress import read_metrics
from trainer.training.step_kinds import TrainStep


def _scores(run_dir):
    return storage.read_json(os.path.join(str(run_dir), "run.json"))["scores"]


def _weights(run_dir, step):
    return load_checkpoint_file(
        os.path.join(str(run_dir), "checkpoints", f"step-{step:09d}.npz")
    ).arrays


def test_train_freeze_epochs_backbone_moves_only_afterward(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path,
        weights="imagenet",
        freeze_epochs=2,
        keep_checkpoints=9,
        layer_decay=0.9,
    )
    assert train_and_evaluate(config) == 0
    start, frozen, end = (_weights(tmp_path, step) for step in (0, 9, 18))
    network = keras.models.load_model(os.path.join(config.run_dir, "model.keras"))
    backbone = {
        f"network/{i:05d}"
        for i, variable in enumerate(network.variables)
        if "logits" not in variable.path and "seed" not in variable.path
    }
    assert backbone
    assert all(np.array_equal(start[name], frozen[name]) for name in backbone)
    assert all(not np.array_equal(frozen[name], end[name]) for name in backbone)


def test_train_batch_norm_frozen_keeps_its_statistics(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset, tiny_backbone, tmp_path, weights="imagenet", batch_norm="frozen", epochs=2
    )
    assert train_and_evaluate(config) == 0
    trained = keras.models.load_model(os.path.join(config.run_dir, "model.keras"))
    norms = [layer for layer in trained.get_layer("backbone").layers if "norm" in layer.name]
    assert norms
    for layer in norms:
        np.testing.assert_array_equal(layer.moving_mean.numpy(), 0.0)
        np.testing.assert_array_equal(layer.moving_variance.numpy(), 1.0)


def test_evaluation_weights_short_training_estimates_statistics_anew(
    tmp_path, tiny_dataset, tiny_backbone
):
    scores = {}
    for mode in ("auto", "off"):
        config = runs.config(
            tiny_dataset, tiny_backbone, tmp_path / mode, precise_batch_norm=mode, epochs=6
        )
        assert train_and_evaluate(config) == 0
        scores[mode] = _scores(config.run_dir)["log_loss"]
    # 27 steps at momentum 0.99 leave three quarters of the starting statistics in the averages.
    assert scores["auto"] < 0.5 * scores["off"]


def test_train_mixed_bfloat16_learns_and_exports_float32(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset, tiny_backbone, tmp_path, precision="mixed_bfloat16", epochs=8
    )
    assert train_and_evaluate(config) == 0
    assert _scores(tmp_path)["accuracy"] > 0.8
    network = keras.models.load_model(os.path.join(config.run_dir, "model.keras"))
    assert {layer.compute_dtype for layer in network._flatten_layers()} == {"float32"}


def test_train_many_labels_learns_with_sigmoids(tmp_path, tiny_backbone):
    dataset = runs.tiny_dataset(tmp_path / "data" / "tiny" / "1.0.0")
    manifest = os.path.join(dataset, "manifest.json")
    storage.write_json(manifest, storage.read_json(manifest) | {"task": "multi_label"})
    config = runs.config(
        dataset, tiny_backbone, tmp_path / "run", epochs=12, class_weights="balanced", loss="focal"
    )
    assert train_and_evaluate(config) == 0
    run = storage.read_json(os.path.join(config.run_dir, "run.json"))
    assert run["task"] == "multi_label" and run["best_metric"] == "log_loss"
    assert run["scores"]["roc_auc"] > 0.9


def test_train_without_evaluation_keeps_the_last_weights(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path,
        fold="",
        train_split="fold0+fold1+fold2",
        eval_split="none",
        epochs=2,
        ema_momentum=0.5,
    )
    assert train_and_evaluate(config) == 0
    run = storage.read_json(os.path.join(config.run_dir, "run.json"))
    assert run["best_step"] == round(2 * 54 / 8) and run["scores"] == {}
    assert not os.path.exists(tmp_path / "eval_logits")
    assert os.path.exists(tmp_path / "saved_model" / "saved_model.pb")


def test_train_ema_evaluates_and_exports_the_average(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, epochs=2, ema_momentum=0.9)
    assert train_and_evaluate(config) == 0
    last = checkpoint.load_latest_checkpoint(config.run_dir)
    assert last.meta.progress.best_step == last.step
    trained = [a for name, a in last.arrays.items() if name.startswith("network/")]
    kept = [a for name, a in last.arrays.items() if name.startswith("optimizer0/")]
    best = checkpoint.load_best_checkpoint(config.run_dir, last.step).arrays
    exported = keras.models.load_model(os.path.join(config.run_dir, "model.keras")).get_weights()
    kernels = [a for name, a in best.items() if name.startswith("weight/") and a.ndim > 1]
    assert kernels
    for kernel in kernels:
        assert any(np.array_equal(kernel, average) for average in kept)
        assert any(np.array_equal(kernel, weight) for weight in exported)
        assert not any(np.array_equal(kernel, weight) for weight in trained)


def test_train_ema_with_frozen_stage_evaluates_that_stages_average(
    tmp_path, tiny_dataset, tiny_backbone
):
    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path,
        weights="imagenet",
        freeze_epochs=2,
        ema_momentum=0.5,
    )
    assert train_and_evaluate(config) == 0
    first = next(line for line in read_metrics(config.run_dir) if line["kind"] == "eval")
    assert first["step"] == 9
    # Logits of 0, which the next stage's average would give, would be ln 3.
    assert abs(first["log_loss"] - np.log(3)) > 1e-3


def test_train_early_stopping_stops_without_improvement(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path,
        epochs=40,
        learning_rate=1e-12,
        dropout=0.0,
        precise_batch_norm="off",
        batch_norm="frozen",
        early_stopping_evals=2,
        profile_steps="20,90",
    )
    assert train_and_evaluate(config) == 0
    assert glob.glob(f"{config.run_dir}/**/*.xplane.pb", recursive=True)  # Until it stopped.
    evaluated = [line["step"] for line in read_metrics(config.run_dir) if line["kind"] == "eval"]
    assert evaluated == [9, 18, 27]
    assert storage.read_json(os.path.join(config.run_dir, "run.json"))["best_step"] == 9


def test_train_loss_beyond_max_loss_ends_naming_step_and_ids(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, max_loss=1e-9)
    with pytest.raises(OrchardError, match=r"at step 0, again after 2 rec.*ids r\d+, r\d+"):
        train_and_evaluate(config)
    events = [line for line in read_metrics(config.run_dir) if line["kind"] == "event"]
    assert [line["event"] for line in events] == ["recovered", "recovered"]
    assert not os.path.exists(tmp_path / "run.json")


def test_train_batch_out_of_memory_is_refused_with_half_of_it(
    tmp_path, tiny_dataset, tiny_backbone, monkeypatch
):
    def full(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(TrainStep, "run", full)
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path)
    with pytest.raises(OrchardError, match="--batch_size=4, or --accumulation_steps=2"):
        train_and_evaluate(config)


def test_train_one_nan_loss_recovers_to_the_undisturbed_scores(
    tmp_path, tiny_dataset, tiny_backbone, monkeypatch
):
    def train(name):
        config = runs.config(tiny_dataset, tiny_backbone, tmp_path / name, checkpoint_every_steps=4)
        assert train_and_evaluate(config) == 0
        return runs.outcome(config.run_dir)

    expected, run, taken = train("calm"), TrainStep.run, []

    def blow_up_once(self, batches, rates):
        results = run(self, batches, rates)
        taken.extend(rates)
        if len(taken) == 8:
            results.losses[0] = np.nan
        return results

    monkeypatch.setattr(TrainStep, "run", blow_up_once)
    got = train("shaken")
    assert len(taken) == 18 + 8 - 4  # Back to the checkpoint of step 4.
    steps = [line["step"] for line in got["metrics"] if line["kind"] == "train"]
    assert steps == [3, 6, 9, 12, 15, 18]
    assert expected["progress"].evaluations[-1]["log_loss"] == pytest.approx(
        got["progress"].evaluations[-1]["log_loss"], rel=1e-3
    )


def test_train_nan_weights_at_an_evaluation_end_in_one_line(
    tmp_path, tiny_dataset, tiny_backbone, monkeypatch
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, precise_batch_norm="off")
    evaluate = loop._evaluate

    def evaluate_spoiled(run, *others):
        kernel = run.network.trainable_variables[0]
        kernel.assign(kernel * np.nan)
        evaluate(run, *others)

    monkeypatch.setattr(loop, "_evaluate", evaluate_spoiled)
    with pytest.raises(OrchardError, match="weights that are no numbers at step 8, again after 2"):
        train_and_evaluate(config)
    assert checkpoint.steps(config.run_dir) == [0]


def test_evaluation_skipping_damaged_records_leaves_them_out_of_scores_and_logits(
    tmp_path, tiny_backbone, capsys
):
    dataset = runs.tiny_dataset(tmp_path / "data" / "tiny" / "1.0.0")
    records = load_records(dataset, "fold0")
    _damage(records, 1, 17)
    config = runs.config(
        dataset, tiny_backbone, tmp_path / "run", epochs=2, on_bad_record="skip", ema_momentum=0.5
    )
    assert train_and_evaluate(config) == 0
    run = storage.read_json(os.path.join(config.run_dir, "run.json"))
    assert run["skipped_records"] == 2
    assert "(without 2 damaged records)" in capsys.readouterr().out
    (line,) = [line for line in read_metrics(config.run_dir) if line["kind"] == "eval"]
    assert line["skipped_records"] == 2
    kept = load_logits(os.path.join(config.run_dir, "eval_logits", "fold0.npz"))
    assert list(kept.ids) == [str(i) for i in np.delete(records.ids, [1, 17])]
    assert evaluate(kept.logits, kept.targets, "single_label") == run["scores"]
    report = (tmp_path / "run" / "report.html").read_text()
    assert "16 records" in report and "(2 damaged ones left out)" in report


def test_evaluation_weights_with_a_damaged_record_names_it(tmp_path, tiny_backbone):
    dataset = runs.tiny_dataset(tmp_path / "data" / "tiny" / "1.0.0")
    records = load_records(dataset, "fold1")
    _damage(records, 4)
    config = runs.config(dataset, tiny_backbone, tmp_path / "run")
    run = prepare(config, Accelerator("cpu", tf.distribute.get_strategy()))
    with pytest.raises(OrchardError, match=f"1 damaged record: .*id '{records.ids[4]}'"):
        with run.evaluation_weights():
            raise AssertionError("estimated")


def _damage(records, *rows):
    for row in rows:
        with open(records.files[records.file_index[row]], "r+b") as file:
            file.seek(int(records.offsets[row]) + 60)
            file.write(b"damaged")


def test_train_profile_steps_resumed_continues_the_profile(
    tmp_path, tiny_dataset, tiny_backbone, monkeypatch
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, profile_steps="1,999", epochs=1)
    with monkeypatch.context() as patched:
        patched.setattr(interruption.StopRequests, "requested", lambda _: True)
        for _ in range(3):
            assert train_and_evaluate(config) == interruption.EXIT_RUN_AGAIN
    assert train_and_evaluate(config) == 0
    names = [name for _, _, files in os.walk(tmp_path / "tensorboard") for name in files]
    # Of the second and third run, each of one step, and of the last one.
    assert len([name for name in names if name.endswith(".xplane.pb")]) == 3


def test_train_in_a_deterministic_process_trains(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, max_minutes=1e-6)
    tf.config.experimental.enable_op_determinism()
    assert train_and_evaluate(config) == interruption.EXIT_RUN_AGAIN


def test_train_writes_config_json_with_resolved_values(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, max_minutes=1e-6)
    train_and_evaluate(config)
    with open(tmp_path / "config.json", encoding="utf-8") as file:
        saved = json.load(file)
    assert saved["resolved"]["train_split"] == "fold1+fold2"
    assert saved["resolved"]["total_steps"] == 18
    assert saved["resolved"]["image_size"] == "16x16"
