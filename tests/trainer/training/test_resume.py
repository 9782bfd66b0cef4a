"""A run killed at any moment and started again ends in the same bits."""

import contextlib
import dataclasses
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest

from orchard import storage
from orchard.errors import OrchardError
from tests.trainer import runs
from trainer import loop
from trainer.checkpoints import files
from trainer.loop import train_and_evaluate
from trainer.results import finish
from trainer.runtime import Accelerator, interruption, precision_policy
from trainer.training.progress import read_metrics

# What makes a resume hard: dropout, BatchNorm, a moving average, accumulation, a frozen start.
# (A .keras file keeps its own weights.)
_HARD = {
    "deterministic": True,
    "ema_momentum": 0.9,
    "accumulation_steps": 2,
    "checkpoint_every_steps": 4,
    "dropout": 0.1,
    "weights": "imagenet",
    "freeze_epochs": 1,
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset, tiny_backbone, tmp_path_factory.mktemp("run") / "once", **_HARD
    )
    process = runs.start(config)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return runs.outcome(config.run_dir)


def test_resume_run_after_two_kills_ends_bit_equal(
    tmp_path, tiny_dataset, tiny_backbone, untouched
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "killed", **_HARD)
    process = runs.start(config)
    _wait_for_checkpoint(config.run_dir, 4, process)
    process.kill()
    process.communicate()
    # The second one comes while a checkpoint is written and the training is beyond it.
    process = runs.start(config, die_after_step="write:12")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, output
    left = os.listdir(os.path.join(config.run_dir, "checkpoints"))
    assert any(name.endswith(".tmp") for name in left)
    process = runs.start(config)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert runs.differences(untouched, runs.outcome(config.run_dir)) == []
    left = os.listdir(os.path.join(config.run_dir, "checkpoints"))
    assert not any(name.endswith(".tmp") for name in left)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_train_and_evaluate_on_a_signal_saves_and_returns_run_again(
    tmp_path, tiny_dataset, tiny_backbone, number, capsys
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run", epochs=100_000)
    with _signal_after(config.run_dir, 9, number):
        assert train_and_evaluate(config) == interruption.EXIT_RUN_AGAIN
    assert f"({number.name}): run the same command again" in capsys.readouterr().out
    assert not os.path.exists(os.path.join(config.run_dir, "run.json"))
    assert files.steps(config.run_dir)[-1] >= 9


def test_command_on_a_signal_saves_and_exits_with_run_again(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run", epochs=100_000)
    process = runs.start(config)
    _wait_for_checkpoint(config.run_dir, 9, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == interruption.EXIT_RUN_AGAIN, output
    assert "(SIGTERM): run the same command again" in output
    assert not os.path.exists(os.path.join(config.run_dir, "run.json"))
    assert files.steps(config.run_dir)[-1] >= 9


def test_resume_run_interrupted_evaluation_is_made_first(
    tmp_path, tiny_dataset, tiny_backbone, monkeypatch
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run")

    with monkeypatch.context() as patched:
        patched.setattr(interruption.StopRequests, "urgent", lambda stop: stop.note("x") or True)
        assert train_and_evaluate(config) == interruption.EXIT_RUN_AGAIN
    assert files.load_latest_checkpoint(config.run_dir).meta.progress.evaluations == []
    assert files.steps(config.run_dir)[-1] == 9
    assert train_and_evaluate(config) == 0
    evaluated = [line["step"] for line in read_metrics(config.run_dir) if line["kind"] == "eval"]
    assert evaluated == [9, 18]


def test_resume_run_interrupted_evaluation_of_the_frozen_stage_has_the_undisturbed_scores(
    tmp_path, tiny_dataset, tiny_backbone, monkeypatch
):
    config = runs.config(
        tiny_dataset, tiny_backbone, tmp_path / "run", weights="imagenet", freeze_epochs=2
    )
    with monkeypatch.context() as patched:
        patched.setattr(interruption.StopRequests, "urgent", lambda stop: stop.note("x") or True)
        assert train_and_evaluate(config) == interruption.EXIT_RUN_AGAIN
    frozen = files.load_latest_checkpoint(config.run_dir)
    assert frozen.step == 9 and frozen.meta.progress.evaluations == []
    with monkeypatch.context() as patched:
        patched.setattr(interruption.StopRequests, "requested", lambda stop: True)
        assert train_and_evaluate(config) == interruption.EXIT_RUN_AGAIN
    evaluated = files.load_best_checkpoint(config.run_dir, 9).arrays
    weights = [array for name, array in evaluated.items() if name.startswith("weight/")]
    trained = [array for name, array in frozen.arrays.items() if name.startswith("network/")]
    # BatchNorm's statistics too: the frozen stage does not estimate them.
    assert all(any(np.array_equal(w, t) for t in trained) for w in weights)


def test_resume_run_without_its_newest_checkpoint_ends_as_undisturbed(
    tmp_path, tiny_dataset, tiny_backbone, monkeypatch
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run", best_metric="log_loss")
    with monkeypatch.context() as patched:
        patched.setattr(loop, "finish_run", lambda run_dir: None)
        patched.setattr(loop, "closing_lines", lambda config, record: [])
        assert train_and_evaluate(config) == 0
    assert files.load_latest_checkpoint(config.run_dir).meta.progress.best_step == 18
    os.truncate(os.path.join(config.run_dir, "checkpoints", "step-000000018.npz"), 100)
    assert finish.export_only(config.run_dir, "best") == 0
    assert storage.read_json(os.path.join(config.run_dir, "run.json"))["best_step"] == 9


def test_train_and_evaluate_max_minutes_stops_and_the_next_call_continues(
    tmp_path, tiny_dataset, tiny_backbone
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run", max_minutes=1e-6)
    assert train_and_evaluate(config) == interruption.EXIT_RUN_AGAIN
    first = files.steps(config.run_dir)[-1]
    assert first >= 1
    took = files.load_latest_checkpoint(config.run_dir).meta.time
    assert train_and_evaluate(config) == interruption.EXIT_RUN_AGAIN
    assert files.steps(config.run_dir)[-1] > first
    both = files.load_latest_checkpoint(config.run_dir).meta.time
    assert both.wall_seconds > took.wall_seconds > 0
    assert both.cpu_seconds > took.cpu_seconds > 0


def test_resume_run_changed_flag_is_refused_naming_it(tmp_path, tiny_dataset, tiny_backbone):
    first = runs.config(tiny_dataset, tiny_backbone, tmp_path, max_minutes=1e-6)
    train_and_evaluate(first)
    changes = {
        "optimizer": "sgd",
        "batch_size": 4,
        "learning_rate": 0.5,
        "epochs": 5,
        "seed": 1,
        "fold": "1",
    }
    for name, value in changes.items():
        changed = runs.config(
            tiny_dataset, tiny_backbone, tmp_path, **{"max_minutes": 1e-6, name: value}
        )
        expected = {"fold": "train_split"}.get(name, name)
        with pytest.raises(OrchardError, match=f"--{expected} was "):
            train_and_evaluate(changed)


def test_resume_run_whose_default_precision_is_another_by_now_goes_on_with_its_own(
    tmp_path, tiny_dataset, tiny_backbone, monkeypatch
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, max_minutes=1e-6)
    train_and_evaluate(config)  # float32, as CPUs have it.
    # As where a GPU of 8.0 and up took float32 for its default when the run began.
    monkeypatch.setattr(
        Accelerator,
        "precision",
        lambda self, options: precision_policy(options, "gpu", (8, 0)),
    )
    with pytest.raises(OrchardError, match="--precision was 'float32', now 'mixed_bf"):
        train_and_evaluate(config)
    train_and_evaluate(dataclasses.replace(config, precision="float32"))
    assert files.load_latest_checkpoint(config.run_dir).step > 1


def test_resume_run_torn_newest_checkpoint_falls_back_to_older(
    tmp_path, tiny_dataset, tiny_backbone, caplog
):
    config = runs.config(
        tiny_dataset, tiny_backbone, tmp_path, max_minutes=1e-6, checkpoint_every_steps=1
    )
    for _ in range(3):
        train_and_evaluate(config)
    steps = files.steps(config.run_dir)
    newest = os.path.join(config.run_dir, "checkpoints", f"step-{steps[-1]:09d}.npz")
    with open(newest, "r+b") as file:
        file.truncate(os.path.getsize(newest) // 2)
    train_and_evaluate(config)
    assert "damaged" in caplog.text
    assert files.load_latest_checkpoint(config.run_dir).step == steps[-2] + 1


def test_resume_run_checkpoint_of_other_data_or_network_is_refused(
    tmp_path, tiny_dataset, tiny_backbone
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run", max_minutes=1e-6)
    train_and_evaluate(config)

    other_data = shutil.copytree(tiny_dataset, tmp_path / "data" / "tiny" / "1.0.0")
    manifest = storage.read_json(str(other_data / "manifest.json"))
    storage.write_json(str(other_data / "manifest.json"), manifest | {"fingerprint": "beef"})
    with pytest.raises(OrchardError, match="another content of the dataset.*f00d, now beef"):
        train_and_evaluate(dataclasses.replace(config, dataset=str(other_data)))

    # The file behind --architecture was replaced by another network's.
    backbone = tmp_path / "backbone.keras"
    shutil.copy(tiny_backbone, backbone)
    config = dataclasses.replace(
        config, architecture=str(backbone), run_dir=str(tmp_path / "replaced")
    )
    train_and_evaluate(config)
    runs.tiny_backbone(backbone, batch_norm=False)
    with pytest.raises(OrchardError, match="it is of another run"):
        train_and_evaluate(config)


@contextlib.contextmanager
def _signal_after(run_dir, steps, number):
    """Sends a signal to this process when there is a checkpoint of so many steps."""
    over = threading.Event()

    def send():
        while not over.wait(0.005):
            if (done := files.steps(str(run_dir))) and done[-1] >= steps:
                os.kill(os.getpid(), number)
                return

    # Where the tests run in the background some are ignored, and so they would stay.
    before = signal.signal(number, lambda *_: None)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        over.set()
        sender.join()
        signal.signal(number, before)


def _wait_for_checkpoint(run_dir, steps, process):
    """Until there is one, or the process, which a busy machine let run on, has ended well."""
    deadline = time.monotonic() + 400
    while not (done := files.steps(str(run_dir))) or done[-1] < steps:
        assert process.poll() in (None, 0), process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
