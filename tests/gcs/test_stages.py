"""Trainer and ensemble on gs://, as commands: damage on the way is noticed, no credential kept.

TensorFlow's file system compares no checksum of the service's; records have one of their own, and
everything else is read by our client, which compares.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchard import storage
from orchard.formats import RunDir, RunRecord, fingerprint_saved_model
from orchard.formats.manifest import load_manifest, load_records
from orchard.storage import gcs as client
from tests.gcs_server.conditions import Conditions
from tests.trainer import runs
from trainer.checkpoints import files

DATASET = "tfds/tiny/1.0.0"
RUN = "runs/whole"
# The service's answers are whole, but for one byte.
CORRUPT = {"fault_rate": 1.0, "fault_kinds": ("corrupt",)}
ON_THE_WAY = Conditions(fault_rate=0.4, fault_kinds=("corrupt", "truncate", "reset"))


def settings(gcs, backbone, run_dir):
    return runs.config(gcs.path(DATASET), backbone, gcs.path(run_dir), epochs=1, deterministic=True)


def start(gcs, command, **environment):
    return subprocess.run(
        command,
        env=gcs.process_env(**environment),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return runs.tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny.keras")


@pytest.fixture(scope="module")
def contents(gcs_server, backbone, tmp_path_factory):
    """Name -> content of the objects of a dataset and of a run trained on it, undisturbed."""
    local = runs.tiny_dataset(tmp_path_factory.mktemp("local") / "tiny" / "1.0.0")
    gcs_server.clear()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in gcs_server.env.items():
            environment.setenv(name, value)
        for name in os.listdir(local):
            with open(os.path.join(local, name), "rb") as file:
                storage.write_bytes(gcs_server.path(DATASET, name), file.read())
        done = start(gcs_server, runs.command(settings(gcs_server, backbone, RUN)))
        assert done.returncode == 0, done.stderr
        return {name: gcs_server.read(name) for name in gcs_server.objects()}


@pytest.fixture
def bucket(gcs, contents):
    """The server with those objects."""
    client.in_parallel(
        lambda item: storage.write_bytes(gcs.path(item[0]), item[1]), [*contents.items()]
    )
    gcs.take_log()
    return gcs


def last_weights(run_dir):
    arrays = files.load_latest_checkpoint(run_dir).arrays
    return {name: array.tobytes() for name, array in arrays.items()}


def the_one_error(done):
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    return errors[0]


def test_train_damaged_record_is_named_and_the_next_run_continues(bucket, backbone):
    bucket.set_conditions(Conditions(match="download .*tfrecord", **CORRUPT))
    config = settings(bucket, backbone, "runs/other")
    error = the_one_error(start(bucket, runs.command(config)))
    assert "tfrecord" in error and "record at byte" in error, error
    assert "runs/other/run.json" not in bucket.objects()
    bucket.set_conditions(Conditions())
    done = start(bucket, runs.command(config))
    assert done.returncode == 0, done.stderr
    assert last_weights(bucket.path("runs/other")) == last_weights(bucket.path(RUN))


def test_reads_damaged_by_the_network_are_repeated_until_intact(bucket):
    def read():
        records = load_records(bucket.path(DATASET))
        run = RunRecord.load(RunDir(bucket.path(RUN)).record_file)
        with storage.local_copy(bucket.path(RUN, "saved_model")) as folder:
            fingerprint = fingerprint_saved_model(folder)
        return (
            records.drop(columns="target").to_csv() + str(records["target"].tolist()),
            load_manifest(bucket.path(DATASET)),
            run,
            last_weights(bucket.path(RUN)),
            fingerprint == run.member_fingerprint,
        )

    wanted = read()
    assert wanted[-1]
    bucket.set_conditions(ON_THE_WAY)
    assert read() == wanted
    assert any(entry["fault"] == "corrupt" for entry in bucket.take_log())


def ensemble(gcs, output_dir):
    return [
        *(sys.executable, "-m", "ensemble.main", f"--members={gcs.path(RUN)}"),
        *(f"--dataset={gcs.path(DATASET)}", "--split=fold0", "--noexport"),
        f"--output_dir={gcs.path(output_dir)}",
    ]


def test_ensemble_damaged_model_is_named(bucket):
    quiet = start(bucket, ensemble(bucket, "ensemble/quiet"))
    assert quiet.returncode == 0, quiet.stderr
    bucket.set_conditions(
        Conditions(fault_rate=0.5, fault_kinds=("corrupt",), match="download .*saved_model")
    )
    done = start(bucket, ensemble(bucket, "ensemble/model"))
    assert done.returncode == 0, done.stderr
    assert any(entry["fault"] == "corrupt" for entry in bucket.take_log())
    wanted = bucket.read("ensemble/quiet/predictions.csv")
    assert bucket.read("ensemble/model/predictions.csv") == wanted
    bucket.set_conditions(Conditions(match="download .*tfrecord", **CORRUPT))
    error = the_one_error(start(bucket, ensemble(bucket, "ensemble/record")))
    assert "tfrecord" in error and "record at byte" in error, error
    assert "ensemble/record/predictions.csv" not in bucket.objects()


def test_train_and_ensemble_print_and_write_no_credential(bucket, backbone, tmp_path):
    token = "ya29.made-up-token"
    env = bucket.service_account_env(token) | {"TMPDIR": str(tmp_path)}
    key = json.loads(Path(env["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    commands = [
        runs.command(settings(bucket, backbone, "runs/signed")),
        ensemble(bucket, "ensemble/signed"),
    ]
    written = []
    for command in commands:
        bucket.set_conditions(Conditions(token=token))
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        log = [entry for entry in bucket.take_log() if entry["operation"] != "token"]
        assert log and all(entry["authorized"] for entry in log)
        # And where a request is refused, its error is printed.
        refusal = Conditions(token=token, deny_status=403, match="upload .*refused")
        bucket.set_conditions(refusal)
        refused = [argument.replace("signed", "refused") for argument in command]
        failed = subprocess.run(refused, env=env, capture_output=True, text=True, timeout=300)
        assert "lacks storage.objects.create" in the_one_error(failed)
        written += [done.stdout, done.stderr, failed.stdout, failed.stderr]
    written += [path.read_text("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    written += [bucket.read(name).decode("latin-1") for name in bucket.objects()]
    secrets = [token, *key["private_key"].splitlines()[1:-1]]
    assert not [secret for secret in secrets if any(secret in text for text in written)]
