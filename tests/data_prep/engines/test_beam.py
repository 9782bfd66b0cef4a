"""Apache Beam for real: worker processes of the DirectRunner."""

import hashlib
from pathlib import Path

import pytest

from data_prep.engines.beam import BeamEngine
from data_prep.verification.audit import audit_dataset
from orchard import storage
from orchard.errors import OrchardError
from tests.data_prep.builders import digests, make_input, run
from tests.gcs.conftest import gcs, gcs_server  # noqa: F401

pytest.importorskip("apache_beam")

PROCESSES = "--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=2"
THREADS = "--runner=DirectRunner --direct_running_mode=in_memory"


def test_beam_with_worker_processes_leaves_the_bytes_of_the_pool(tmp_path):
    given = make_input(tmp_path / "in")
    options = {"folds": 3, "short_side_px": 16}
    pool, _ = run(tmp_path / "pool", **options, **given)
    beam, _ = run(tmp_path / "beam", engine="beam", beam_options=PROCESSES, **options, **given)
    assert digests(pool) == digests(beam)
    assert not (tmp_path / "beam" / ".staging" / "clothes" / "1.0.0").exists()


def test_beam_with_a_bad_row_raises_one_line(tmp_path):
    given = make_input(tmp_path / "in")
    Path(given["images_dir"], "a003.jpg").unlink()
    with pytest.raises(OrchardError, match="row 5, 'a003': no file 'a003.jpg'"):
        run(tmp_path / "out", engine="beam", beam_options=THREADS, **given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('"--runner=x', "No closing quotation"),
        ("--direct_num_workers=x", "argument --direct_num_workers: invalid int value: 'x'"),
        ("--runner=NoSuch", "Unexpected pipeline runner: NoSuch"),
        ("--streaming=maybe", "argument --streaming: ignored explicit argument 'maybe'"),
    ],
)
def test_beam_with_options_that_it_refuses_raises_one_line(tmp_path, capfd, options, message):
    with pytest.raises(OrchardError, match=f"^--beam_options={options}: {message}") as caught:
        with BeamEngine(options, str(tmp_path)) as engine:
            engine.map(len, ["a"])
    assert "\n" not in str(caught.value) and "usage:" not in capfd.readouterr().err


def test_beam_on_gcs_reads_and_writes_in_the_workers(tmp_path, gcs):  # noqa: F811
    given = make_input(tmp_path / "in")
    local, _ = run(tmp_path / "local", folds=3, **given)
    root = f"gs://{gcs.bucket}/in"
    for file in Path(given["images_dir"]).iterdir():
        storage.write_bytes(f"{root}/images/{file.name}", file.read_bytes())
    for name in ("train.csv", "test.csv"):
        storage.write_bytes(f"{root}/{name}", (tmp_path / "in" / name).read_bytes())
    remote = {
        "csv": f"{root}/train.csv",
        "test_csv": f"{root}/test.csv",
        "images_dir": f"{root}/images",
        "folds": 3,
        "engine": "beam",
        "beam_options": PROCESSES,
    }
    directory, _ = run(f"gs://{gcs.bucket}/tfds", **remote)
    audit_dataset(directory, workers=1)
    for name, digest in digests(local).items():
        content = storage.read_bytes(storage.join(directory, name))
        assert hashlib.sha256(content).hexdigest() == digest, name
    assert storage.list_names(f"gs://{gcs.bucket}/tfds/.staging/clothes/1.0.0") == []
    _, said = run(f"gs://{gcs.bucket}/tfds", **remote)
    assert said[-1] == f"finished already, nothing to do: {directory}"


def test_beam_block_that_ends_leaves_the_results_of_another(tmp_path):
    with BeamEngine(THREADS, str(tmp_path)) as first:
        results = first.map(len, ["a", "bc"])
        with BeamEngine(THREADS, str(tmp_path)):
            pass
        assert dict(results) == {0: 1, 1: 2}
