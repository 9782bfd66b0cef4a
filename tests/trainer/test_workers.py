"""Two real processes on loopback: MultiWorkerMirroredStrategy and jax, both from TF_CONFIG."""

import contextlib
import dataclasses
import json
import random
import socket

import numpy as np
import pytest

from orchard.formats import FoldsRecord, RunDir, RunRecord, load_logits
from tests.trainer import runs
from tests.trainer.features import runs as frozen_runs
from tests.trainer.metadata_server import MetadataServer
from trainer.checkpoints import files
from trainer.loop import train_and_evaluate
from trainer.runtime.interruption import EXIT_RUN_AGAIN
from trainer.training.progress import read_metrics


def _free_ports(count):
    # Below the range that the system gives out by itself: nobody takes them before the workers do.
    ports = []
    for port in random.sample(range(20_000, 30_000), 1000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise AssertionError("no free ports")


def _start(config, second=None, second_config=None):
    """Two workers; `second` holds what the second one is started with, besides its config."""
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    processes = []
    starts = ((config, {}), (second_config or config, second or {}))
    for index, (flags, extra) in enumerate(starts):
        task = {"type": "worker", "index": index}
        text = json.dumps({"cluster": {"worker": addresses}, "task": task})
        processes.append(runs.start(flags, TF_CONFIG=text, **extra))
    return processes


def _finish(processes, status=0):
    for process in processes:
        output, _ = process.communicate(timeout=500)
        assert process.returncode == status, output


def _losses(run_dir):
    lines = read_metrics(str(run_dir))
    return [line["loss"] for line in lines if line["kind"] == "train"]


@pytest.fixture(scope="module")
def alone(setting):
    """The run directory of one worker by itself, by TensorFlow."""
    config = setting("one")
    _finish([runs.start(config)])
    return config.run_dir


@pytest.fixture(scope="module")
def setting(tmp_path_factory, tiny_dataset):
    folder = tmp_path_factory.mktemp("workers")
    backbone = runs.tiny_backbone(folder / "backbone.keras", dropout=0.0)

    def config(name, **changes):
        return runs.config(
            tiny_dataset,
            backbone,
            folder / name,
            checkpoint_every_steps=3,
            log_every_steps=1,
            learning_rate=0.003,
            **changes,
        )

    return config


@pytest.mark.parametrize("runtime", ["tensorflow", "pjrt"])
def test_train_two_workers_after_one_is_lost_end_as_one_alone(runtime, setting, alone):
    two = setting(runtime, runtime=runtime)

    first, second = _start(two, second={"die_after_step": 8})
    second.communicate(timeout=500)
    output, _ = first.communicate(timeout=500)
    assert first.returncode == EXIT_RUN_AGAIN, output
    assert "run the same command again on all workers" in output
    assert files.steps(two.run_dir)[-1] >= 6
    _finish(_start(two))

    np.testing.assert_allclose(_losses(two.run_dir), _losses(alone), rtol=5e-4)
    scores = [runs.outcome(run_dir)["progress"].evaluations for run_dir in (alone, two.run_dir)]
    assert [s["step"] for s in scores[0]] == [s["step"] for s in scores[1]]
    np.testing.assert_allclose(scores[1][-1]["log_loss"], scores[0][-1]["log_loss"], rtol=5e-3)


def test_train_workers_with_different_checkpoints_are_refused_in_one_line(setting):
    config, other = setting("apart"), setting("apart_too")
    _finish([runs.start(dataclasses.replace(other, max_minutes=1e-6))], EXIT_RUN_AGAIN)
    for process in _start(config, second_config=other):
        output, _ = process.communicate(timeout=500)
        assert process.returncode == 1, output
        assert "error: --run_dir=" in output and "the workers see different checkpoints" in output


@pytest.mark.parametrize("runtime", ["tensorflow", "pjrt"])
def test_train_workers_with_one_notice_all_stop_at_its_step(runtime, setting):
    config = setting(f"notice_{runtime}", epochs=10_000, watch_preemption=True, runtime=runtime)
    server = MetadataServer(preempted="TRUE")
    try:
        workers = _start(config, second={"GCE_METADATA_HOST": server.host})
        _finish(workers, EXIT_RUN_AGAIN)
    finally:
        server.close()
    (event,) = [line for line in read_metrics(config.run_dir) if line["kind"] == "event"]
    assert event["reason"] == "another worker stops"
    assert files.steps(config.run_dir)[-1] == event["step"]


@pytest.mark.slow
def test_train_workers_go_from_fold_to_fold_together(setting, tmp_path):
    dataset = runs.tiny_dataset(tmp_path / "tiny" / "1.0.0", count=32, folds=2)
    config = dataclasses.replace(
        setting("folds", fold="all", refit=1, epochs=1.0), dataset=str(dataset)
    )
    _finish(_start(config))
    assert FoldsRecord.load(RunDir(config.run_dir).folds_file).folds.keys() == {"0", "1"}
    assert RunRecord.load(RunDir(config.run_dir).refit(0).record_file).eval_split is None


def test_train_head_two_workers_share_the_features_of_one_alone(tiny_dataset, tmp_path):
    backbone = runs.tiny_backbone(tmp_path / "backbone.keras", dropout=0.0)
    alone = frozen_runs.config(tiny_dataset, backbone, tmp_path / "alone" / "run")
    assert train_and_evaluate(alone) == 0
    two = dataclasses.replace(alone, run_dir=str(tmp_path / "two" / "run"))
    _finish(_start(two))

    logits = [
        load_logits(RunDir(config.run_dir).eval_logits_file("fold0")).logits
        for config in (alone, two)
    ]
    np.testing.assert_allclose(logits[1], logits[0], atol=1e-4)
    kept = [sorted(tmp_path.glob(f"{name}/feature_cache/*/*.npz")) for name in ("alone", "two")]
    assert [file.name for file in kept[0]] == [file.name for file in kept[1]]
    for one, other in zip(*kept, strict=True):
        features = [np.load(file)["features"] for file in (one, other)]
        np.testing.assert_allclose(features[1], features[0], atol=1e-5)
