"""The trainer on gs://: what it is refused, and how it goes on after a kill."""

import os
import signal
import subprocess
import time

import pytest

from orchard import storage
from tests.gcs_server.conditions import Conditions
from tests.trainer import runs
from trainer.checkpoints import files
from trainer.training import locking


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    dataset = runs.tiny_dataset(folder / "tiny" / "1.0.0")
    return dataset, runs.tiny_backbone(folder / "tiny.keras")


@pytest.fixture
def config(gcs, local):
    dataset, backbone = local
    remote = gcs.path("tfds/tiny/1.0.0")
    for name in os.listdir(dataset):
        with open(os.path.join(dataset, name), "rb") as file:
            storage.write_bytes(storage.join(remote, name), file.read())

    def config(run_dir, **changes):
        changes = {"epochs": 2, "deterministic": True, "eval_every_epochs": 1} | changes
        return runs.config(remote, backbone, gcs.path(run_dir), **changes)

    return config


def run(gcs, config, **environment):
    return subprocess.run(
        runs.command(config),
        env=gcs.process_env(**environment),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_train_shards_without_permission_are_refused_in_one_line(gcs, config):
    gcs.set_conditions(Conditions(deny_status=403, match="download .*tfrecord"))
    done = run(gcs, config("runs/refused"), GCS_RETRY_CONFIG_MAX_RETRIES="1")
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    assert "lacks storage.objects.get (403)" in errors[0]
    assert "roles/storage.objectViewer" in errors[0]
    assert not [name for name in gcs.objects("runs/refused") if name.endswith("run.json")]


def test_train_second_training_of_a_run_is_refused_in_one_line(gcs, config):
    second = config("runs/held")
    with locking.run_lock(second.run_dir):
        done = run(gcs, second)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "is being written by another process" in done.stderr.splitlines()[-1]
    assert gcs.objects("runs/held") == {}


@pytest.mark.slow
def test_train_killed_and_run_again_gives_the_same_weights(gcs, config):
    quiet = config("runs/quiet", checkpoint_every_steps=2)
    assert run(gcs, quiet).returncode == 0
    killed = config("runs/killed", checkpoint_every_steps=2)
    for step in ("000000002", "000000006"):
        process = subprocess.Popen(
            runs.command(killed),
            env=gcs.process_env(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        gcs.set_conditions(Conditions(latency_ms=20))
        while process.poll() is None and not gcs.objects(f"runs/killed/checkpoints/step-{step}"):
            time.sleep(0.02)
        # It gets no further than its next upload: it cannot end before it is killed.
        gcs.set_conditions(Conditions(hold_after_uploads=0))
        while process.poll() is None and not gcs.num_held():
            time.sleep(0.02)
        assert process.poll() is None, "it ended before its kill"
        process.send_signal(signal.SIGKILL)
        process.wait()
        gcs.set_conditions(Conditions())
    assert run(gcs, killed).returncode == 0
    wanted, found = (files.load_latest_checkpoint(one.run_dir) for one in (quiet, killed))
    assert found.step == wanted.step
    for name, array in wanted.arrays.items():
        assert array.tobytes() == found.arrays[name].tobytes(), name
