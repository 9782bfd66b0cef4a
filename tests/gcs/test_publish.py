"""data_prep on gs://: the same bytes as on a disk, whatever happens on the way."""

import contextlib
import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import google_crc32c
import pytest

from data_prep.config import PrepConfig
from data_prep.pipeline import prepare
from data_prep.publish import gcs_staging
from data_prep.publish.gcs_staging import GcsPublisher, GcsStaging
from data_prep.verification.audit import audit_dataset
from data_prep.verification.trace import trace_image
from orchard import storage
from orchard.errors import OrchardError
from orchard.storage import gcs as client
from tests.data_prep.builders import jpeg
from tests.gcs_server.conditions import Conditions

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fashion_mnist"
NUM_ROWS = 90
PREFIX = "tfds/clothes/1.0.0/"
RUN_LOG = "run_log.json"


@pytest.fixture(scope="module")
def labels_csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    with open(EXAMPLE / "train.csv", newline="") as file:
        rows = list(csv.reader(file))[: NUM_ROWS + 1]
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


@pytest.fixture
def config(labels_csv):
    """Six shards: three folds, two hosts."""

    def config(data_dir, **more):
        settings = {"folds": 3, "hosts": 2, "workers": 2} | more
        return PrepConfig(
            csv=labels_csv,
            images_dir=str(EXAMPLE / "images"),
            name="clothes",
            version="1.0.0",
            data_dir=data_dir,
            **settings,
        )

    return config


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """This test's own temporary folder, as another machine would have."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture(scope="module")
def local_files(labels_csv, tmp_path_factory):
    """File name -> crc32c of the dataset as a local run makes it."""
    directory = tmp_path_factory.mktemp("local")
    settings = {"folds": 3, "hosts": 2, "name": "clothes", "version": "1.0.0", "workers": 2}
    made = prepare(
        PrepConfig(
            csv=labels_csv,
            images_dir=str(EXAMPLE / "images"),
            data_dir=str(directory),
            **settings,
        )
    )
    return {
        path.name: google_crc32c.value(path.read_bytes())
        for path in Path(made).iterdir()
        if path.name != RUN_LOG
    }


def published(server):
    """The same of what is in the bucket, which must hold the dataset and nothing else."""
    objects = server.crc32c()
    assert all(name.startswith(PREFIX) for name in objects), sorted(objects)
    return {
        name.removeprefix(PREFIX): crc
        for name, crc in objects.items()
        if not name.endswith(RUN_LOG)
    }


def data_dir(server):
    return server.path("tfds")


def is_published(server):
    return PREFIX + "features.json" in server.objects()


def uploads(log):
    """The names of the objects that were written, in the order of the answers."""
    return [
        Path(entry["path"]).name
        for entry in log
        if entry["operation"] == "upload" and entry["status"] == 200
    ]


def test_prepare_to_gcs_is_the_local_dataset_to_the_byte(gcs, config, local_files, scratch):
    # roles/storage.objectUser says nothing on the bucket itself.
    gcs.set_conditions(Conditions(deny_status=403, match="^bucket "))
    assert prepare(config(data_dir(gcs))) == gcs.path(PREFIX.rstrip("/"))
    assert published(gcs) == local_files
    left = [path for path in scratch.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert left == []


@pytest.fixture
def photos(gcs, tmp_path):
    """What prepares eight images that lie on gs://, too large for the pre-flight to keep local."""
    rows = ["image_id,label"]
    for number in range(8):
        photo = jpeg(number, 512, 512, quality=95)
        assert len(photo) > 1 << 14  # Smaller ones are kept between the passes wherever they lie.
        storage.write_bytes(gcs.path(f"in/photo_{number}.jpg"), photo)
        rows.append(f"photo_{number},{'ab'[number % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    gcs.take_log()
    return PrepConfig(
        csv=str(tmp_path / "labels.csv"),
        images_dir=gcs.path("in"),
        name="photos",
        version="1.0.0",
        data_dir=str(tmp_path / "out"),
        workers=2,
    )


def test_prepare_images_on_gcs_fetches_each_once(gcs, photos):
    prepare(photos)
    fetched = [entry["path"] for entry in gcs.take_log() if entry["operation"] == "download"]
    assert len(fetched) == len(set(fetched)) == 8


def test_prepare_refused_image_fails_instead_of_skipping(gcs, photos):
    gcs.set_conditions(Conditions(deny_status=403, match="download .*photo_2"))
    with pytest.raises(OrchardError, match="lacks storage.objects.get"):
        prepare(dataclasses.replace(photos, on_bad="skip"))


def test_prepare_uploads_features_json_last(gcs, config):
    prepare(config(data_dir(gcs)))
    names = [name for name in uploads(gcs.take_log()) if not name.endswith(".lock")]
    assert names[-1] == "features.json"
    assert names.count("features.json") == 1


def test_prepare_keeps_receipts_as_metadata_of_shards(gcs, config):
    prepare(config(data_dir(gcs)))
    for name, item in gcs.objects().items():
        if "tfrecord" in name:
            receipt = json.loads(item["metadata"]["orchard-receipt"])
            assert name.endswith(receipt["file"]) and len(receipt["lengths"]) == 15
    fingerprints = {
        item["metadata"]["orchard-fingerprint"]
        for name, item in gcs.objects().items()
        if "tfrecord" in name
    }
    assert len(fingerprints) == 6 and all(len(text) == 64 for text in fingerprints)


def test_prepare_long_receipts_are_objects_until_the_dataset_is_whole(
    gcs, config, local_files, capsys, monkeypatch
):
    monkeypatch.setattr(gcs_staging, "_MAX_METADATA_BYTES", 100)
    interrupted(gcs, config)
    assert len([name for name in gcs.objects("tfds/.staging/") if "receipts" in name]) == 6
    capsys.readouterr()
    prepare(config(data_dir(gcs)))
    assert "6 of 6 shards are there already" in capsys.readouterr().out
    assert published(gcs) == local_files


def test_prepare_faults_at_one_request_in_ten_change_no_byte(gcs, config, local_files):
    gcs.set_conditions(Conditions(fault_rate=0.1, fault_seed=3))
    prepare(config(data_dir(gcs)))
    assert sum(entry["fault"] != "" for entry in gcs.take_log()) >= 3
    assert published(gcs) == local_files


def test_prepare_refused_halfway_continues_with_the_missing_shards(
    gcs, config, local_files, capsys
):
    gcs.set_conditions(Conditions(deny_status=403, match="upload .*fold[12].tfrecord-00001"))
    with pytest.raises(OrchardError, match="lacks storage.objects.create"):
        prepare(config(data_dir(gcs)))
    assert not is_published(gcs)
    gcs.set_conditions(Conditions())
    capsys.readouterr()
    prepare(config(data_dir(gcs)))
    # How many is not fixed: uploads that were under way at the refusal may still have ended.
    there = int(re.search(r"(\d) of 6 shards are there already", capsys.readouterr().out)[1])
    shards = [name for name in uploads(gcs.take_log()) if name.startswith("clothes-fold")]
    assert len([name for name in shards if not name.endswith(".json")]) <= 6 - there < 6
    assert published(gcs) == local_files


def interrupted(gcs, config):
    """All but the last step."""
    gcs.set_conditions(Conditions(deny_status=403, match="upload .*features.json"))
    with pytest.raises(OrchardError):
        prepare(config(data_dir(gcs)))
    gcs.set_conditions(Conditions())
    assert not is_published(gcs)


def test_prepare_array_record_interrupted_is_the_local_dataset_to_the_byte(
    gcs, config, tmp_path, capsys
):
    def array_record(place):
        return config(place, file_format="array_record")

    local = Path(prepare(array_record(str(tmp_path / "local"))))
    interrupted(gcs, array_record)
    directory = prepare(array_record(data_dir(gcs)))
    # The card's pictures were read from the bucket.
    assert "6 of 6 shards are there already" in capsys.readouterr().out
    assert published(gcs) == {
        file.name: google_crc32c.value(file.read_bytes())
        for file in local.iterdir()
        if file.name != RUN_LOG
    }
    audit_dataset(directory, workers=1, log=lambda line: None)
    assert trace_image(directory, "train_0001").jpeg == trace_image(str(local), "train_0001").jpeg


def test_prepare_changed_shard_is_written_again(gcs, config, local_files, capsys):
    interrupted(gcs, config)
    path = gcs.path(PREFIX + "clothes-fold1.tfrecord-00000-of-00002")
    found = client.stat(path)
    client.write_bytes(path, b"x" * found.num_bytes, found.generation, found.metadata)
    capsys.readouterr()
    prepare(config(data_dir(gcs)))
    assert "5 of 6 shards are there already" in capsys.readouterr().out
    assert published(gcs) == local_files


def test_prepare_shard_with_an_edited_receipt_is_written_again(gcs, config, local_files, capsys):
    interrupted(gcs, config)
    path = gcs.path(PREFIX + "clothes-fold1.tfrecord-00000-of-00002")
    found, content = client.stat(path), client.read_bytes(path)
    metadata = found.metadata | {"orchard-receipt": "[]"}
    client.write_bytes(path, content, found.generation, metadata)
    capsys.readouterr()
    prepare(config(data_dir(gcs)))
    assert "5 of 6 shards are there already" in capsys.readouterr().out
    assert published(gcs) == local_files


def test_prepare_other_settings_replace_an_unfinished_dataset(gcs, config, local_files):
    gcs.set_conditions(Conditions(deny_status=403, match="upload .*features.json"))
    with pytest.raises(OrchardError):
        prepare(config(data_dir(gcs), folds=5, seed=1))
    gcs.set_conditions(Conditions())
    prepare(config(data_dir(gcs)))
    assert published(gcs) == local_files


def test_prepare_finished_dataset_is_left_alone(gcs, config, capsys):
    prepare(config(data_dir(gcs)))
    before = gcs.objects()
    prepare(config(data_dir(gcs)))
    assert "finished already, nothing to do" in capsys.readouterr().out
    assert gcs.objects() == before


def test_prepare_finished_dataset_with_other_settings_is_refused(gcs, config):
    prepare(config(data_dir(gcs)))
    with pytest.raises(OrchardError, match="pass a new --version, or --overwrite"):
        prepare(config(data_dir(gcs), seed=1))
    assert is_published(gcs)


def test_prepare_overwrite_deletes_features_json_first(gcs, config):
    prepare(config(data_dir(gcs)))
    gcs.take_log()
    prepare(config(data_dir(gcs), seed=1, overwrite=True))
    changes = [
        (entry["operation"], Path(entry["path"]).name)
        for entry in gcs.take_log()
        if entry["operation"] in ("upload", "delete") and PREFIX in entry["path"]
    ]
    assert changes[0] == ("delete", "features.json")
    assert changes[-1] != ("delete", "features.json") and is_published(gcs)


def test_prepare_foreign_object_in_the_way_is_refused_and_kept(gcs, config):
    client.write_bytes(gcs.path(PREFIX + "thesis.docx"), b"years of work")
    with pytest.raises(OrchardError, match="thesis.docx is in the way"):
        prepare(config(data_dir(gcs)))
    assert gcs.read(PREFIX + "thesis.docx") == b"years of work"
    assert not is_published(gcs)


def test_prepare_overwrite_with_a_foreign_object_leaves_the_dataset_published(gcs, config):
    prepare(config(data_dir(gcs)))
    client.write_bytes(gcs.path(PREFIX + "thesis.docx"), b"years of work")
    with pytest.raises(OrchardError, match="thesis.docx is in the way"):
        prepare(config(data_dir(gcs), seed=1, overwrite=True))
    assert is_published(gcs)


def test_prepare_object_replaced_by_another_writer_stops_the_publication(gcs, config, monkeypatch):
    commit = GcsPublisher.commit

    def replace_a_shard_first(*args):
        path = gcs.path(PREFIX + "clothes-fold0.tfrecord-00000-of-00002")
        client.write_bytes(path, b"mine", metadata={"orchard-fingerprint": "another"})
        commit(*args)

    monkeypatch.setattr(GcsPublisher, "commit", replace_a_shard_first)
    with pytest.raises(OrchardError, match="replaced or removed by another process"):
        prepare(config(data_dir(gcs)))
    assert not is_published(gcs)


@pytest.mark.parametrize("name", ["clothes-fold0.tfrecord-00000-of-00002", "manifest.json"])
def test_prepare_object_of_another_writer_is_not_replaced(gcs, config, monkeypatch, name):
    claim = GcsStaging.claim

    def claim_before_another(*args):
        publisher = claim(*args)
        client.write_bytes(gcs.path(PREFIX + name), b"mine")
        return publisher

    monkeypatch.setattr(GcsStaging, "claim", claim_before_another)
    with pytest.raises(OrchardError, match=f"{name} was replaced by another writer"):
        prepare(config(data_dir(gcs)))
    assert client.read_bytes(gcs.path(PREFIX + name)) == b"mine"
    assert not is_published(gcs)


def test_prepare_second_writer_on_the_same_machine_is_refused_at_once(gcs, config):
    staging = GcsStaging(data_dir(gcs), "clothes", "1.0.0")
    with staging.lock():
        with pytest.raises(OrchardError, match=r"being written by another process \(pid \d+ on"):
            prepare(config(data_dir(gcs)))


def test_prepare_shard_damaged_on_the_local_disk_is_not_published(gcs, config, monkeypatch):
    upload = client.upload_file

    def damage_first(local_path, *args):
        content = bytearray(Path(local_path).read_bytes())
        content[100] ^= 1
        Path(local_path).write_bytes(content)
        return upload(local_path, *args)

    monkeypatch.setattr(client, "upload_file", damage_first)
    with pytest.raises(OrchardError, match="changed between its writing and its upload"):
        prepare(config(data_dir(gcs)))
    assert not [name for name in gcs.objects() if "tfrecord-" in name and "receipts" not in name]


def command(config):
    return [
        *(sys.executable, "-m", "data_prep.main", f"--csv={config.csv}"),
        *(f"--images_dir={config.images_dir}", f"--name={config.name}"),
        *(f"--version={config.version}", f"--data_dir={config.data_dir}"),
        *(f"--folds={config.folds}", f"--hosts={config.hosts}", "--workers=2"),
    ]


def run_and_stop(gcs, config, conditions, with_signal):
    """Start the command; signal its whole group once the server holds an upload back.

    The server goes on holding it until the command has ended; returns its status and stderr.
    """
    gcs.set_conditions(conditions)
    process = subprocess.Popen(
        command(config),
        env=gcs.process_env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever starts the tests in a shell's background has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not gcs.num_held():
        time.sleep(0.01)
    assert process.poll() is None, "it ended before its signal"
    os.killpg(process.pid, with_signal)
    try:
        # Whoever waits for what is held waits for longer than this.
        _, errors = process.communicate(timeout=100)
    finally:
        # Nothing of it may reach the bucket of the next test.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    gcs.set_conditions(dataclasses.replace(conditions, hold_after_uploads=None))
    return process.returncode, errors


def run_and_kill(gcs, config, conditions):
    run_and_stop(gcs, config, conditions, signal.SIGKILL)


def finish(gcs, config):
    done = subprocess.run(
        command(config), env=gcs.process_env(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


# Lock and notes aside, a run writes an object a shard, then 7 files.
@pytest.mark.parametrize("moments", [(3, 9)], ids=["early and late"])
def test_main_killed_and_run_again_gives_the_same_objects(gcs, config, local_files, moments):
    for num_uploads in moments:
        run_and_kill(gcs, config(data_dir(gcs)), Conditions(hold_after_uploads=num_uploads))
        assert not is_published(gcs)
    finish(gcs, config(data_dir(gcs)))
    assert published(gcs) == local_files


# The lock itself is held back; then shards; then the metadata.
@pytest.mark.parametrize("num_uploads", [0, 3, 9])
def test_main_interrupted_waits_for_no_request_and_continues_when_run_again(
    gcs, config, local_files, num_uploads
):
    # An upload that is held takes minutes to be given up: whoever waited for one would be noticed.
    conditions = Conditions(hold_after_uploads=num_uploads)
    status, errors = run_and_stop(gcs, config(data_dir(gcs)), conditions, signal.SIGINT)
    assert status == 130 and "Traceback" not in errors, errors
    assert errors.splitlines()[-1] == "interrupted: run the same command again to go on"
    assert not is_published(gcs)
    finish(gcs, config(data_dir(gcs)))
    assert published(gcs) == local_files


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(3))
def test_main_killed_often_with_faults_gives_the_same_objects(gcs, config, local_files, round_):
    for moment in range(8):
        conditions = Conditions(
            fault_rate=0.1,
            fault_seed=8 * round_ + moment,
            hold_after_uploads=1 + (3 * moment + round_) % 7,
        )
        run_and_kill(gcs, config(data_dir(gcs)), conditions)
    finish(gcs, config(data_dir(gcs)))
    assert published(gcs) == local_files


def test_dataset_on_gcs_is_loaded_by_tfds_without_our_code(gcs, config):
    prepare(config(data_dir(gcs)))
    code = (
        "import sys, tensorflow_datasets as tfds\n"
        f"data = tfds.load('clothes', data_dir={data_dir(gcs)!r}, split='fold0+fold1+fold2')\n"
        "ids = {example['image_id'].numpy() for example in data}\n"
        "assert 'data_prep' not in sys.modules\n"
        "print(len(ids))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=gcs.process_env(),
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(NUM_ROWS), done.stderr


def test_main_writes_no_credential_anywhere(gcs, config, tmp_path, scratch):
    token = "ya29.made-up-token"
    env = gcs.service_account_env(token)
    key = Path(env["GOOGLE_APPLICATION_CREDENTIALS"]).read_text()
    done = subprocess.run(
        command(config(data_dir(gcs))), env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert all(entry["authorized"] for entry in gcs.take_log() if entry["operation"] != "token")
    # And where a request is refused, its error is printed.
    gcs.set_conditions(Conditions(token=token, deny_status=403, match="upload"))
    refused = subprocess.run(
        command(config(gcs.path("elsewhere"))), env=env, capture_output=True, text=True, timeout=300
    )
    assert refused.returncode == 1 and "lacks storage.objects.create" in refused.stderr
    assert refused.stderr.count("error:") == 1 and "Traceback" not in refused.stderr
    written = [done.stdout, done.stderr, refused.stdout, refused.stderr]
    written += [
        path.read_bytes().decode("latin-1") for path in scratch.rglob("*") if path.is_file()
    ]
    written += [gcs.read(name).decode("latin-1") for name in gcs.objects()]
    secrets = [token, *json.loads(key)["private_key"].splitlines()[1:-1]]
    assert not [secret for secret in secrets if any(secret in text for text in written)]


def test_verify_and_trace_survive_faults_of_the_network(gcs, config):
    dataset = prepare(config(data_dir(gcs)))
    gcs.set_conditions(Conditions(fault_rate=0.3, fault_kinds=("corrupt", "truncate", "503")))
    reports = audit_dataset(dataset, workers=1)
    assert sum(report.records for report in reports) == NUM_ROWS
    assert "train_0007" in dict(trace_image(dataset, "train_0007").lines).values()
    assert any(entry["fault"] == "corrupt" for entry in gcs.take_log())


def test_verify_shard_changed_in_the_bucket_is_found(gcs, config):
    dataset = prepare(config(data_dir(gcs)))
    path = gcs.path(PREFIX + "clothes-fold1.tfrecord-00000-of-00002")
    content = bytearray(client.read_bytes(path))
    content[1000] ^= 1
    client.write_bytes(path, bytes(content))
    with pytest.raises(OrchardError, match="clothes-fold1.tfrecord-00000-of-00002"):
        audit_dataset(dataset, workers=1)


def test_prepare_by_beam_publishes_the_same_objects(gcs, config, local_files):
    gcs.set_conditions(Conditions(fault_rate=0.1))
    prepare(config(data_dir(gcs), engine="beam", workers=0))
    assert published(gcs) == local_files


def test_main_two_machines_at_once_one_publishes_and_the_other_is_refused(
    gcs, config, local_files, tmp_path
):
    gcs.set_conditions(Conditions(latency_ms=20))
    processes = []
    for machine in ("one", "other"):
        folder = tmp_path / machine
        folder.mkdir()
        processes.append(
            subprocess.Popen(
                command(config(data_dir(gcs))),
                env=gcs.process_env(TMPDIR=str(folder)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    outcomes = [(*process.communicate(timeout=300), process.returncode) for process in processes]
    assert 0 in [status for *_, status in outcomes]
    for out, err, status in outcomes:
        # Whoever comes when the first has just finished has nothing to do.
        assert status == 0 or "is being written by another process" in err, (out, err)
        assert "Traceback" not in err
    assert published(gcs) == local_files


@pytest.fixture
def grown(config, labels_csv, tmp_path):
    """Settings of version 1.1.0: 12 rows more than `config`, another label, a row less."""
    with open(EXAMPLE / "train.csv", newline="") as file:
        header, *rows = list(csv.reader(file))[: NUM_ROWS + 13]
    rows[7][1] = rows[8][1]
    path = tmp_path / "grown.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows[:3], *rows[4:]])

    def grown(data_dir, base_dir, **more):
        return dataclasses.replace(
            config(data_dir), csv=str(path), version="1.1.0", extends=base_dir, **more
        )

    return grown


GROWN = "tfds/clothes/1.1.0/"


def crcs_of_grown(server):
    objects = server.crc32c(GROWN)
    return {Path(name).name: crc for name, crc in objects.items() if not name.endswith(RUN_LOG)}


def test_prepare_growth_on_gcs_copies_old_shards_on_the_server(gcs, config, grown, tmp_path):
    base = prepare(config(str(tmp_path / "local")))
    local = Path(prepare(grown(str(tmp_path / "local"), base)))
    wanted = {
        path.name: google_crc32c.value(path.read_bytes())
        for path in local.iterdir()
        if path.name != RUN_LOG
    }
    base = prepare(config(data_dir(gcs)))
    before = gcs.crc32c(PREFIX)
    gcs.take_log()
    prepare(grown(data_dir(gcs), base))
    log = gcs.take_log()
    assert crcs_of_grown(gcs) == wanted
    assert gcs.crc32c(PREFIX) == before
    (step,) = storage.read_json(gcs.path(GROWN + "manifest.json"))["lineage"]
    copied = [entry for entry in log if entry["operation"] == "copy"]
    assert len(copied) == step["kept_shards"] >= 3
    # Of the older version only what is rewritten comes here, and the card's pictures.
    uploaded = [name for name in uploads(log) if "tfrecord" in name]
    assert len(uploaded) == step["rewritten_shards"] + step["new_shards"]
    audit_dataset(gcs.path(GROWN.rstrip("/")), 1)
    # A version on a disk becomes one on gs://, too.
    gcs.clear_objects()
    prepare(grown(data_dir(gcs), str(tmp_path / "local" / "clothes" / "1.0.0")))
    assert crcs_of_grown(gcs) == wanted


def test_prepare_growth_refused_halfway_goes_on_with_what_is_missing(gcs, config, grown):
    base = prepare(config(data_dir(gcs)))
    gcs.set_conditions(Conditions(deny_status=403, match="upload .*/1.1.0/.*fold2.*"))
    with pytest.raises(OrchardError, match="storage.objects.create"):
        prepare(grown(data_dir(gcs), base))
    assert GROWN + "features.json" not in gcs.objects()
    gcs.set_conditions(Conditions())
    gcs.take_log()
    prepare(grown(data_dir(gcs), base))
    assert [entry for entry in gcs.take_log() if entry["operation"] == "copy"] == []
    audit_dataset(gcs.path(GROWN.rstrip("/")), 1)


def test_prepare_growth_with_faults_of_the_network_changes_no_byte(gcs, config, grown):
    base = prepare(config(data_dir(gcs)))
    prepare(grown(data_dir(gcs), base))
    wanted = crcs_of_grown(gcs)
    storage.remove_tree(gcs.path(GROWN.rstrip("/")))
    gcs.set_conditions(Conditions(fault_rate=0.1, fault_seed=5))
    prepare(grown(data_dir(gcs), base))
    gcs.set_conditions(Conditions())
    assert crcs_of_grown(gcs) == wanted
