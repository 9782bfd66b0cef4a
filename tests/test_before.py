"""What was made before the code moved (`tests/before`) is read today, and made again alike.

Bytes, orders and names are compared exactly. Numbers that a network computes are not: on a CPU with
other vector instructions or another number of cores TensorFlow adds in another order. On the
machine where the artifacts were made the values come out the same to the bit.
"""

import csv
import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from ensemble.inference.predictor import SavedPredictor
from orchard.formats import load_logits, load_manifest, load_records
from tests.before import make
from trainer.checkpoints import files as checkpoints
from trainer.config import TrainConfig
from trainer.results import is_finished

_KEPT = Path(__file__).parent / "before"
_DATASET = Path("data", "names", "1.0.0")
_RUN = Path("runs", "tiny")
_CLOSE = {"rtol": 1e-4, "atol": 1e-5}
_TIMINGS = {"images_per_second", "data_wait_share", "compile_seconds", "seconds"}
_RESUMED_STEP, _LAST_STEP = 4, 6
# Computed with functions that vector instructions round in other ways: exp, pow, a table of SciPy.
_ROUNDED = ("posterize", "erase_height", "erase_width", "mixup", "cutmix_size")


def _skip_on_other_versions(made_with):
    for name, version in made_with.items():
        installed = importlib.metadata.version(name)
        if installed != version:
            pytest.skip(f"tests/before was made with {name} {version}, installed is {installed}")


def _assert_alike(before, after, where="."):
    """Two JSON values: lengths, types, texts the same, floats close; keys may be added."""
    assert type(before) is type(after), where
    if isinstance(before, dict):
        # Objects of JSON have no order: a checkpoint's config follows that of the option classes.
        # A field that came later has a default, which says what was done before.
        assert before.keys() <= after.keys(), where
        for key in before:
            _assert_alike(before[key], after[key], f"{where}/{key}")
    elif isinstance(before, list):
        assert len(before) == len(after), where
        for position, pair in enumerate(zip(before, after, strict=True)):
            _assert_alike(*pair, f"{where}[{position}]")
    elif isinstance(before, float):
        np.testing.assert_allclose(after, before, **_CLOSE, err_msg=where)
    else:
        assert before == after, where


def _assert_arrays_alike(before, after):
    assert list(before) == list(after)
    for name in before:
        assert before[name].dtype == after[name].dtype, name
        assert before[name].shape == after[name].shape, name
        if before[name].dtype.kind == "f":
            np.testing.assert_allclose(after[name], before[name], **_CLOSE, err_msg=name)
        else:
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)


def _json(path, *without):
    value = json.loads(path.read_text())
    return {key: part for key, part in value.items() if key not in without}


def _files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


# Datasets


@pytest.mark.parametrize("name", make.DATASETS)
def test_dataset_prepared_again_has_the_same_bytes(name, tmp_path):
    kept = _KEPT / "data" / name / "1.0.0"
    made_with = _json(kept / "manifest.json")["library_versions"]
    made_with.pop("data_prep_format")
    _skip_on_other_versions(made_with)
    shutil.copytree(_KEPT / "inputs", tmp_path / "inputs")
    make.prepare(tmp_path, name)
    made = {path.name: path for path in (tmp_path / "data" / name / "1.0.0").iterdir()}
    del made["run_log.json"]
    report = hashlib.sha256(made.pop("report.html").read_bytes()).hexdigest()
    # It came later, and is one more file in the manifest.
    del made["croissant.json"]
    manifest = _json(made.pop("manifest.json"))
    del manifest["files"]["croissant.json"]
    assert manifest == _json(kept / "manifest.json")
    assert sorted([*made, "manifest.json"]) == sorted(path.name for path in kept.iterdir())
    assert [n for n, path in made.items() if path.read_bytes() != (kept / n).read_bytes()] == []
    assert report == _json(_KEPT / "digests.json")[f"data/{name}/1.0.0/report.html"]


@pytest.mark.parametrize("name", make.DATASETS)
def test_kept_manifest_read_and_written_is_the_same_value(name):
    kept = _KEPT / "data" / name / "1.0.0"
    found = load_manifest(str(kept))
    assert json.loads(json.dumps(found.to_json())) == _json(kept / "manifest.json")
    assert len(load_records(str(kept))) == sum(split.num_records for split in found.splits.values())


# Order and augmentation


def test_orders_computed_again_are_the_same():
    now = make.orders()
    with np.load(_KEPT / "orders.npz") as before:
        assert list(now) == before.files
        for name, values in now.items():
            assert values.dtype == before[name].dtype, name
            np.testing.assert_array_equal(values, before[name], err_msg=name)


def test_augmentation_draws_computed_again_are_the_same():
    now = make.draws()
    rounded = [make.COLUMNS.index(name) for name in _ROUNDED]
    with np.load(_KEPT / "draws.npz") as before:
        assert list(now) == before.files
        for name, values in now.items():
            kept = before[name]
            assert (values.dtype, values.shape) == (kept.dtype, kept.shape), name
            np.testing.assert_allclose(values, kept, rtol=1e-6, err_msg=name)
            if not name.startswith("crops/"):
                values, kept = np.delete(values, rounded, 1), np.delete(kept, rounded, 1)
            np.testing.assert_array_equal(values, kept, err_msg=name)


# Training


@pytest.fixture(scope="module")
def same_keras():
    """Skips where Keras or TensorFlow differ: what they save and compute may, too."""
    versions = _json(_KEPT / _RUN / "fold0" / "run.json")["versions"]
    for name, now in (("keras", keras.__version__), ("tensorflow", tf.__version__)):
        if versions[name] != now:
            pytest.skip(f"tests/before was made with {name} {versions[name]}, installed is {now}")


@pytest.fixture(scope="module")
def trained(same_keras, tmp_path_factory):
    """A folder where fold 0 went on from the kept checkpoint of step 4; fold 1 was trained anew."""
    work = tmp_path_factory.mktemp("trained")
    shutil.copytree(_KEPT / _DATASET, work / _DATASET)
    shutil.copy(_KEPT / "tiny.keras", work)
    for name in ("checkpoints/step-000000004.npz", "checkpoints/best-000000003.npz"):
        (work / _RUN / "fold0" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_KEPT / _RUN / "fold0" / name, work / _RUN / "fold0" / name)
    for name in ("config.json", "network.json"):
        shutil.copy(_KEPT / _RUN / "fold0" / name, work / _RUN / "fold0")
    lines = (_KEPT / _RUN / "fold0" / "metrics.jsonl").read_text().splitlines(keepends=True)
    begun = [line for line in lines if json.loads(line)["step"] <= _RESUMED_STEP]
    (work / _RUN / "fold0" / "metrics.jsonl").write_text("".join(begun))
    make.run("trainer.main", make.TRAIN, work)
    return work


def test_resumed_run_keeps_the_lines_before_its_checkpoint(trained):
    before, after = (
        (folder / _RUN / "fold0" / "metrics.jsonl").read_text().splitlines()
        for folder in (_KEPT, trained)
    )
    begun = sum(json.loads(line)["step"] <= _RESUMED_STEP for line in before)
    assert after[:begun] == before[:begun]  # With their timings: these steps were not taken again.
    assert after[begun:] != before[begun:]


@pytest.mark.parametrize("fold", ["fold0", "fold1"])
def test_run_resumed_or_trained_again_ends_in_the_same_checkpoints(fold, trained):
    kept, run = str(_KEPT / _RUN / fold), str(trained / _RUN / fold)
    assert checkpoints.steps(run) == checkpoints.steps(kept) == [_RESUMED_STEP, _LAST_STEP]
    before, after = (
        checkpoints.load_latest_checkpoint(kept),
        checkpoints.load_latest_checkpoint(run),
    )
    assert before.step == after.step == _LAST_STEP
    # The time that it took is known where all of it was measured, and differs by nature. What a
    # training starts from is recorded since.
    assert before.meta.time is None and (after.meta.time is None) == (fold == "fold0")
    _assert_alike(
        dataclasses.asdict(before.meta),
        dataclasses.asdict(dataclasses.replace(after.meta, time=None, start_fingerprint="")),
    )
    _assert_arrays_alike(before.arrays, after.arrays)
    best_step = before.meta.progress.best_step
    before, after = (
        checkpoints.load_best_checkpoint(kept, best_step),
        checkpoints.load_best_checkpoint(run, best_step),
    )
    _assert_alike(dataclasses.asdict(before.meta), dataclasses.asdict(after.meta))
    _assert_arrays_alike(before.arrays, after.arrays)


@pytest.mark.parametrize("fold", ["fold0", "fold1"])
def test_run_resumed_or_trained_again_has_the_same_metrics(fold, trained):
    def read(folder):
        lines = (folder / _RUN / fold / "metrics.jsonl").read_text().splitlines()
        return [
            {key: value for key, value in json.loads(line).items() if key not in _TIMINGS}
            for line in lines
        ]

    _assert_alike(read(_KEPT), read(trained))


@pytest.mark.parametrize("fold", ["fold0", "fold1"])
def test_run_resumed_or_trained_again_describes_itself_alike(fold, trained):
    kept, run = _KEPT / _RUN / fold, trained / _RUN / fold
    _assert_alike(_json(kept / "config.json"), _json(run / "config.json"))
    assert _json(run / "network.json") == _json(kept / "network.json")
    without = ("versions", "member_fingerprint", "cost")  # The cost is new, and of this machine.
    _assert_alike(_json(kept / "run.json", *without), _json(run / "run.json", *without))
    assert list(_json(run / "run.json")["versions"]) == list(_json(kept / "run.json")["versions"])


@pytest.mark.parametrize(
    "file", ["fold0/eval_logits/fold0", "fold1/eval_logits/fold1", "out_of_fold"]
)
def test_logits_of_held_out_images_are_the_same(file, trained):
    before, after = (load_logits(str(folder / _RUN / f"{file}.npz")) for folder in (_KEPT, trained))
    assert after.ids.tolist() == before.ids.tolist()
    assert after.class_names == before.class_names
    np.testing.assert_array_equal(after.targets, before.targets)
    np.testing.assert_allclose(after.logits, before.logits, **_CLOSE)


def test_scores_of_all_folds_are_the_same(trained):
    _assert_alike(_json(_KEPT / _RUN / "folds.json"), _json(trained / _RUN / "folds.json"))


def test_kept_run_counts_as_finished(monkeypatch):
    monkeypatch.chdir(_KEPT)
    config = TrainConfig.from_json(_json(_RUN / "fold0" / "config.json", "resolved"))
    assert is_finished(config)


# Ensemble


@pytest.fixture(scope="module")
def ensembled(same_keras, tmp_path_factory):
    """A folder where the kept runs were made an ensemble; the logits of fold 0 were there."""
    work = tmp_path_factory.mktemp("ensembled")
    shutil.copytree(_KEPT / _DATASET, work / _DATASET)
    shutil.copytree(_KEPT / _RUN, work / _RUN)
    (work / "ensemble" / "logits").mkdir(parents=True)
    shutil.copy2(_cache_of_fold0(_KEPT), _cache_of_fold0(work))
    make.run("ensemble.main", make.ENSEMBLE, work)
    return work


def _cache_of_fold0(folder):
    """The path of the cached logits of fold 0, that begins with the fingerprint of its run."""
    fingerprint = _json(_KEPT / _RUN / "fold0" / "run.json")["member_fingerprint"]
    (kept,) = (_KEPT / "ensemble" / "logits").glob(f"{fingerprint[:16]}-*.npz")
    return folder / "ensemble" / "logits" / kept.name


def test_kept_cache_of_logits_is_read_and_not_written_again(ensembled):
    kept, used = _cache_of_fold0(_KEPT), _cache_of_fold0(ensembled)
    assert used.stat().st_mtime_ns == kept.stat().st_mtime_ns
    assert used.read_bytes() == kept.read_bytes()


def test_logits_computed_by_the_kept_runs_are_the_same(ensembled):
    kept = _KEPT / "ensemble" / "logits"
    assert _files(ensembled / "ensemble" / "logits") == _files(kept)
    for name in _files(kept):
        before, after = (
            load_logits(str(kept / name)),
            load_logits(str(ensembled / "ensemble" / "logits" / name)),
        )
        assert after.ids.tolist() == before.ids.tolist()
        np.testing.assert_allclose(after.logits, before.logits, **_CLOSE)


@pytest.mark.parametrize(
    "name", ["predictions.csv", "soft_labels.csv", "soft_labels_out_of_fold.csv"]
)
def test_tables_of_the_ensemble_are_the_same(name, ensembled):
    def read(folder):
        with open(folder / "ensemble" / name, newline="") as file:
            return [[_number_or_text(cell) for cell in row] for row in csv.reader(file)]

    _assert_alike(read(_KEPT), read(ensembled))


def _number_or_text(cell):
    try:
        return float(cell)
    except ValueError:
        return cell


def test_weights_of_the_ensemble_are_the_same(ensembled):
    before, after = (
        _json(folder / "ensemble" / "weights.json", "price") for folder in (_KEPT, ensembled)
    )
    for one in (*after["members"], *after["networks"]):
        # Prices are new, and those of runs that did not keep their cost are unknown.
        assert set(one.pop("price").values()) == {None, ""}
    _assert_alike(before, after)


# SavedModels


def _signatures(loaded):
    def specs(tensors):
        return {name: (spec.dtype, spec.shape.as_list()) for name, spec in tensors.items()}

    return {
        name: (specs(function.structured_input_signature[1]), specs(function.structured_outputs))
        for name, function in loaded.signatures.items()
    }


def _check_top_k(signature):
    takes, gives = signature
    assert takes == {"image_bytes": (tf.string, [None]), "k": (tf.int32, [None])}
    wide = [None, None]
    assert gives == {"classes": (tf.string, wide), "probabilities": (tf.float32, wide)}


def _pictures():
    """Upright ones: a photo that its EXIF turns is turned by the newer models alone."""
    return [path.read_bytes() for path in sorted((_KEPT / "inputs" / "images").glob("*.jpg"))[:2]]


def _outputs(loaded):
    return loaded.signatures["serving_default"](image_bytes=tf.constant(_pictures()))


@pytest.mark.parametrize("fold", ["fold0", "fold1"])
def test_member_exported_again_takes_and_gives_the_same(fold, trained):
    before, after = (
        tf.saved_model.load(str(folder / _RUN / fold / "saved_model"))
        for folder in (_KEPT, trained)
    )
    # `probabilities` and `top_k` were added later; the others stay as they were.
    now = _signatures(after)
    text, numbers = (tf.string, [None, 10]), (tf.float32, [None, 10])
    assert now.pop("probabilities") == (
        {"image_bytes": (tf.string, [None])},
        {"class_names": text, "probabilities": numbers},
    )
    _check_top_k(now.pop("top_k"))
    assert now == _signatures(before)
    assert after.class_names.numpy().tolist() == before.class_names.numpy().tolist()
    assert after.image_size_px.numpy().tolist() == before.image_size_px.numpy().tolist()
    logits = _outputs(before)["logits"]
    np.testing.assert_allclose(_outputs(after)["logits"], logits, **_CLOSE)


def test_keras_file_of_a_kept_run_gives_what_its_saved_model_gives(same_keras):
    run = _KEPT / _RUN / "fold0"
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    loaded = tf.saved_model.load(str(run / "saved_model"))
    logits = loaded.signatures["images"](images=tf.constant(images))["logits"]
    network = keras.models.load_model(str(run / "model.keras"), compile=False)
    np.testing.assert_allclose(network(images.astype(np.float32)), logits, **_CLOSE)


def test_ensemble_exported_again_takes_and_gives_the_same(ensembled):
    before, after = (
        tf.saved_model.load(str(folder / "ensemble" / "saved_model"))
        for folder in (_KEPT, ensembled)
    )
    now = _signatures(after)
    _check_top_k(now.pop("top_k"))  # It was added later, as `members`.
    assert now.pop("members")[0] == {"image_bytes": (tf.string, [None])}
    assert now == _signatures(before)
    for name in ("class_names", "task", "thresholds"):
        found, wanted = getattr(after, name).numpy(), getattr(before, name).numpy()
        np.testing.assert_array_equal(found, wanted, err_msg=name)
    found, wanted = _outputs(after), _outputs(before)
    assert found["class_names"].numpy().tolist() == wanted["class_names"].numpy().tolist()
    np.testing.assert_allclose(found["probabilities"], wanted["probabilities"], **_CLOSE)


def test_kept_models_are_read_by_the_ensembles_own_loader(same_keras):
    for folder in (_KEPT / "ensemble", _KEPT / _RUN / "fold0"):
        model = SavedPredictor(folder)
        assert model.task == "single_label"
        assert len(model.class_names) == 10
        np.testing.assert_allclose(model.predict(_pictures()).sum(axis=1), 1, rtol=1e-5)
