"""Two real processes on loopback, MultiWorkerMirroredStrategy from TF_CONFIG."""

import json
import socket
import time

import numpy as np
import pytest

from tests.trainer import runs
from trainer import checkpoint
from trainer.progress import read_metrics


def _start(config, count=2):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    processes = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        text = json.dumps({"cluster": {"worker": addresses}, "task": task})
        processes.append(runs.start(config, TF_CONFIG=text))
    return processes


def _finish(processes):
    for process in processes:
        output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output


def _losses(run_dir):
    lines = read_metrics(str(run_dir))
    return [line["loss"] for line in lines if line["kind"] == "train"]


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


def test_two_workers_train_as_one_and_a_lost_one_can_be_restarted(setting):
    one, two = setting("one"), setting("two")
    alone = runs.start(one)
    _finish([alone])

    first, second = _start(two)
    _wait_for_checkpoint(two.run_dir, 6, first)
    second.kill()
    second.communicate()
    output, _ = first.communicate(timeout=200)
    assert first.returncode == 75, output
    _finish(_start(two))

    np.testing.assert_allclose(_losses(two.run_dir), _losses(one.run_dir), rtol=5e-4)
    scores = [runs.outcome(c.run_dir)["progress"]["evaluations"] for c in (one, two)]
    assert [s["step"] for s in scores[0]] == [s["step"] for s in scores[1]]
    np.testing.assert_allclose(scores[1][-1]["log_loss"], scores[0][-1]["log_loss"], rtol=5e-3)


def _wait_for_checkpoint(run_dir, steps, process):
    deadline = time.monotonic() + 240
    while not (done := checkpoint.steps(str(run_dir))) or done[-1] < steps:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
