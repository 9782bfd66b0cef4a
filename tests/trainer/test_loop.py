import dataclasses
import json
import logging
import os
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from orchard.flags import select
from orchard.formats import load_checkpoint_file, logits
from tests.trainer import runs
from trainer.checkpoints import CheckpointWriter, files
from trainer.data.load import load_records
from trainer.evaluation import evaluate
from trainer.loop import train_and_evaluate
from trainer.models import NetworkOptions, backbone_fingerprint, build_network
from trainer.results import finish
from trainer.runtime import StopRequests
from trainer.training.progress import read_metrics


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path_factory.mktemp("run") / "tiny",
        epochs=12,
        profile_steps="4,6",
    )
    assert train_and_evaluate(config) == 0
    return config


def _run_json(config):
    with open(os.path.join(config.run_dir, "run.json"), encoding="utf-8") as file:
        return json.load(file)


def test_train_and_evaluate_learns_and_writes_every_file(finished):
    run = _run_json(finished)
    assert run["scores"]["accuracy"] > 0.8
    assert run["train_split"] == "fold1+fold2" and run["eval_split"] == "fold0"
    assert run["image_size_px"] == [16, 16]
    assert run["dataset"]["name"] == "tiny" and run["dataset"]["fingerprint"] == "f00d"
    names = set(os.listdir(finished.run_dir))
    assert {"config.json", "checkpoints", "metrics.jsonl", "model.keras"} <= names
    assert {"saved_model", "eval_logits", "tensorboard", "run.json", "report.html"} <= names


def test_train_and_evaluate_saved_model_gives_the_scored_logits(finished):
    records = load_records(finished.dataset, "fold0")
    saved = logits.load_logits(os.path.join(finished.run_dir, "eval_logits", "fold0.npz"))
    assert list(saved.ids) == list(records.ids)
    scores = evaluate(saved.logits, saved.targets, "single_label")
    assert scores == _run_json(finished)["scores"]

    jpegs = [_jpeg(records, gid) for gid in range(len(records))]
    loaded = tf.saved_model.load(os.path.join(finished.run_dir, "saved_model"))
    from_bytes = loaded.signatures["serving_default"](image_bytes=tf.constant(jpegs))["logits"]
    np.testing.assert_allclose(from_bytes.numpy(), saved.logits, atol=1e-5)
    assert from_bytes.dtype == tf.float32
    assert [name.decode() for name in loaded.class_names.numpy()] == list(records.class_names)
    assert list(loaded.image_size_px.numpy()) == [16, 16]


def test_train_and_evaluate_best_metric_last_exports_the_end_and_keeps_the_last_ones(
    tmp_path, tiny_dataset, tiny_backbone, capsys
):
    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path / "last",
        epochs=1,
        min_steps=6,
        num_evals=3,
        best_metric="last",
        keep_best=2,
        weights="auto",
        learning_rate=1e-9,  # No step is better than another: a metric would pick the first.
        eval_every_epochs=1.0,
    )
    assert train_and_evaluate(config) == 0
    run = _run_json(config)
    assert run["best_step"] == 6 and run["best_metric"] == "last"
    kept = sorted(name for name in os.listdir(f"{config.run_dir}/checkpoints") if "best" in name)
    assert kept[-2:] == ["best-000000004.npz", "best-000000006.npz"]
    # No random part of the start: the file's own weights.
    backbone = keras.models.load_model(tiny_backbone)
    network = build_network(select(NetworkOptions, config, num_classes=3))
    network.get_layer("backbone").set_weights(backbone.get_weights()[:-2])
    assert run["start_fingerprint"] == backbone_fingerprint(network)
    evaluated = [line["step"] for line in read_metrics(config.run_dir) if line["kind"] == "eval"]
    assert evaluated == [2, 4, 6]
    printed = capsys.readouterr().out
    assert "exported: step 6: accuracy" in printed
    with open(os.path.join(config.run_dir, "report.html"), encoding="utf-8") as file:
        assert "The last step, on 18 records" in file.read()


def test_train_and_evaluate_metrics_cover_every_step_and_evaluation(finished):
    lines = read_metrics(finished.run_dir)
    total = round(finished.epochs * 36 / finished.batch_size)
    train = [line["step"] for line in lines if line["kind"] == "train"]
    assert train == [*range(3, total + 1, 3)]
    assert [line["step"] for line in lines if line["kind"] == "eval"] == [*range(9, total + 1, 9)]
    assert all(np.isfinite(line["loss"]) for line in lines if line["kind"] == "train")


def test_train_and_evaluate_tensorboard_has_scalars_and_a_profile(finished):
    folder = os.path.join(finished.run_dir, "tensorboard")
    assert any(name.endswith(".xplane.pb") for _, _, names in os.walk(folder) for name in names)
    tags = set()
    for name in os.listdir(folder):
        if "tfevents" in name:
            for event in tf.compat.v1.train.summary_iterator(os.path.join(folder, name)):
                tags |= {value.tag for value in event.summary.value}
    assert {"train/loss", "train/learning_rate", "eval/accuracy"} <= tags


def test_train_and_evaluate_finished_run_is_left_alone(finished, capsys):
    path = os.path.join(finished.run_dir, "run.json")
    before = os.stat(path).st_mtime_ns
    assert train_and_evaluate(finished) == 0
    assert os.stat(path).st_mtime_ns == before
    assert capsys.readouterr().out == f"finished already, nothing to do: {finished.run_dir}\n"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("label_smoothing", 0.1, "--label_smoothing was 0.0, now 0.1"),
        ("batch_size", 6, "--batch_size was"),
        ("fold", "1", "--fold was"),
    ],
)
def test_train_and_evaluate_finished_run_of_other_flags_is_refused(finished, name, value, message):
    with pytest.raises(OrchardError, match=message):
        train_and_evaluate(dataclasses.replace(finished, **{name: value}))


@pytest.mark.parametrize("command", [train_and_evaluate, lambda c: finish.finish_run(c.run_dir)])
def test_finished_run_with_a_dataset_of_other_content_is_refused(finished, command, monkeypatch):
    def prepared_again(*given):
        return dataclasses.replace(load_records(*given), fingerprint="beef")

    monkeypatch.setattr(finish, "load_records", prepared_again)
    with pytest.raises(OrchardError, match="another content of the dataset.*f00d, now beef"):
        command(finished)


def _jpeg(records, gid):
    with open(records.files[records.file_index[gid]], "rb") as file:
        file.seek(int(records.offsets[gid]) + 12)
        example = tf.train.Example.FromString(file.read(int(records.lengths[gid])))
    return example.features.feature["image"].bytes_list.value[0]


def test_train_and_evaluate_screen_says_what_begins_goes_on_and_ends(
    tmp_path, tiny_dataset, tiny_backbone, capsys, caplog
):
    caplog.set_level(logging.INFO)
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run", log_every_steps=0, epochs=2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(StopRequests, "requested", lambda stop: True)
        assert train_and_evaluate(config) == 75
    assert "going on" not in capsys.readouterr().out
    assert train_and_evaluate(config) == 0
    out = capsys.readouterr().out
    assert f"{tiny_backbone} at 16x16 px on 1 x cpu, TensorFlow\n" in out
    assert "training on 36 records of fold1+fold2, 3 classes (single_label); 18 of fold0" in out
    assert "9 steps of 8 images: 2 epochs of 4.5 steps" in out
    assert "going on after step 1 of 9 (epoch 0.222 of 2)" in out
    assert "going on" not in caplog.text  # Once is enough.
    assert "step 9, epoch 2 of 2: log_loss " in out and "(best log_loss)" in out
    run = _run_json(config)
    assert run["best_metric"] == "log_loss"
    assert f"exported: step 9: log_loss {run['scores']['log_loss']:.4f}  accuracy " in out
    assert f"report: {config.run_dir}/report.html" in out
    assert "next: python -m trainer.summary --runs_dir=" in out
    logged = [line["step"] for line in read_metrics(config.run_dir) if line["kind"] == "train"]
    assert logged == list(range(1, 10))


def test_train_and_evaluate_full_disk_is_one_line_and_keeps_the_older_checkpoint(
    tmp_path, tiny_dataset, tiny_backbone, monkeypatch
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, epochs=1000)
    config = dataclasses.replace(config, checkpoint_every_steps=20, eval_every_epochs=500)
    sync = os.fsync

    def full(handle):
        if "step-000000020" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OrchardError, match="checkpoint not written.*No space left") as caught:
        train_and_evaluate(config)
    assert "\n" not in str(caught.value)
    assert files.load_latest_checkpoint(config.run_dir).step == 0
    assert os.listdir(tmp_path / "checkpoints") == ["step-000000000.npz"]


def test_train_and_evaluate_checkpoints_written_late_hold_the_state_of_their_step(
    tmp_path, tiny_dataset, tiny_backbone, monkeypatch
):
    def train(name):
        config = runs.config(tiny_dataset, tiny_backbone, tmp_path / name, epochs=1.2)
        config = dataclasses.replace(config, checkpoint_every_steps=2, keep_checkpoints=9)
        assert train_and_evaluate(dataclasses.replace(config, deterministic=True)) == 0
        folder = f"{config.run_dir}/checkpoints"
        return {n: load_checkpoint_file(f"{folder}/{n}") for n in sorted(os.listdir(folder))}

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointWriter, "begin", lambda self, step, write: write())
        at_once = train("at_once")
    save = files.save_checkpoint_file

    def save_late(path, checkpoint):
        time.sleep(0.2)
        save(path, checkpoint)

    monkeypatch.setattr(files, "save_checkpoint_file", save_late)
    late = train("late")
    assert late.keys() == at_once.keys() and len(late) > 3
    for name, one in late.items():
        other = at_once[name]
        assert [(n, a.tobytes()) for n, a in one.arrays.items()] == [
            (n, a.tobytes()) for n, a in other.arrays.items()
        ]
        if name.startswith("step"):
            assert one.meta.progress == other.meta.progress


def test_train_and_evaluate_with_nothing_held_out_says_so(
    tmp_path, tiny_dataset, tiny_backbone, capsys
):
    config = runs.config(
        tiny_dataset, tiny_backbone, tmp_path, epochs=1, fold="", train_split="fold0"
    )
    assert train_and_evaluate(config) == 0
    out = capsys.readouterr().out
    assert "nothing is held out: the last step is exported, without scores" in out
    assert "exported: step 2, without scores" in out
