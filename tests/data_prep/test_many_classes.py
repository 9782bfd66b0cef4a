"""Datasets of so many classes that a record has its class alone, and no vector."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from data_prep.verification.audit import audit_dataset
from data_prep.verification.trace import trace_image
from orchard.errors import OrchardError
from orchard.formats import Manifest, load_manifest
from tests.data_prep.builders import jpeg, run, write_csv
from tests.data_prep.verification.damage import edit_index, edit_json
from trainer.data import load_records

_CLASSES = 300


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """600 rows of 300 classes, with the same few photos again and again, and a test CSV."""
    folder = tmp_path_factory.mktemp("in")
    (folder / "images").mkdir()
    photos = [jpeg(seed) for seed in range(4)]
    rows = [(f"a{row:03d}", f"class{row % _CLASSES}") for row in range(2 * _CLASSES)]
    tests = ["t0", "t1"]
    for position, name in enumerate([row[0] for row in rows] + tests):
        # A comment makes each file another one.
        photo = photos[position % 4]
        mark = b"\xff\xfe\x00\x06" + position.to_bytes(4, "big")
        (folder / "images" / f"{name}.jpg").write_bytes(photo[:2] + mark + photo[2:])
    return {
        "csv": write_csv(folder / "train.csv", [("image_id", "label"), *rows]),
        "test_csv": write_csv(folder / "test.csv", [("image_id",), *((name,) for name in tests)]),
        "images_dir": str(folder / "images"),
    }


@pytest.fixture(scope="module")
def prepared(inputs, tmp_path_factory):
    return run(tmp_path_factory.mktemp("out"), folds=2, **inputs)[0]


@pytest.fixture
def copy(prepared, tmp_path):
    import shutil

    return Path(shutil.copytree(prepared, tmp_path / "clothes" / "1.0.0"))


def test_dataset_of_many_classes_has_the_class_alone(prepared):
    manifest = load_manifest(prepared)
    assert not manifest.has_targets and len(manifest.class_names) == _CLASSES
    kept = json.loads(Path(prepared, "manifest.json").read_text())
    assert kept["schema_version"] == 2 and kept["has_targets"] is False
    assert "target" not in pyarrow.parquet.read_schema(Path(prepared, "records.parquet")).names
    largest = max(path.stat().st_size for path in Path(prepared).glob("*.tfrecord*"))
    assert largest < 600 * 1500  # A vector would be 1,200 bytes more a record.


def test_dataset_of_many_classes_is_refused_in_one_line_by_a_reader_of_vectors(
    prepared, monkeypatch
):
    monkeypatch.setattr(Manifest, "ALSO_READS", ())
    with pytest.raises(OrchardError, match="schema_version is 2, this Orchard reads 1; run its"):
        load_manifest(prepared)


def test_records_of_many_classes_are_read_as_vectors(prepared, inputs):
    rows = Path(inputs["csv"]).read_text().splitlines()[1:]
    wanted = dict(row.split(",") for row in rows)
    table = load_records(prepared, "fold0+fold1")
    assert table.targets.shape == (2 * _CLASSES, _CLASSES) and (table.targets.sum(1) == 1).all()
    found = [table.class_names[at] for at in table.targets.argmax(1)]
    assert found == [wanted[image_id] for image_id in table.ids.tolist()]
    assert (load_records(prepared, "test").targets == -1).all()


def test_folds_of_many_classes_have_each_class_once(prepared):
    assert (load_records(prepared, "fold0").targets.sum(0) == 1).all()


def test_dataset_of_many_classes_is_read_by_tfds(prepared):
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("tensorflow")
    dataset, info = tfds.load(
        "clothes",
        data_dir=str(Path(prepared).parent.parent),
        split="fold0",
        with_info=True,
        as_supervised=True,
    )
    labels = [int(label) for _, label in dataset.as_numpy_iterator()]
    assert sorted(labels) == list(range(_CLASSES))
    assert info.features["label"].num_classes == _CLASSES and "target" not in info.features


def test_audit_of_many_classes_finds_another_label(copy):
    assert [one.records for one in audit_dataset(str(copy), 1, log=lambda line: None)] == [
        _CLASSES,
        _CLASSES,
        2,
    ]
    index = pyarrow.parquet.read_table(copy / "records.parquet").to_pandas()
    first, second = index["label"][0], index["label"][1]
    edit_index(copy, "label", 0, np.int32(second))
    edit_index(copy, "label", 1, np.int32(first))
    with pytest.raises(OrchardError, match=rf"record 0, .*: label \[{first}\], the index says"):
        audit_dataset(str(copy), 1, log=lambda line: None)


def test_audit_of_many_classes_with_a_manifest_that_says_vectors_is_refused(copy):
    edit_json(copy, "manifest.json", lambda m: (m.pop("has_targets"), m.update(schema_version=1)))
    with pytest.raises(OrchardError, match="records.parquet has no column 'target'"):
        audit_dataset(str(copy), 1, log=lambda line: None)


def test_trace_of_many_classes_names_the_class(prepared):
    assert ("labels", "class7") in trace_image(prepared, "a007").lines
    assert ("labels", "none (unlabeled)") in trace_image(prepared, "t1").lines


def test_dataset_of_many_classes_prepared_again_is_finished_and_says_whose_label_changed(
    inputs, tmp_path
):
    text = Path(inputs["csv"]).read_text()
    (tmp_path / "train.csv").write_text(text)
    settings = {**inputs, "csv": str(tmp_path / "train.csv")}
    run(tmp_path / "out", **settings)
    assert run(tmp_path / "out", **settings)[1][-1].startswith("finished already")
    changed = text.replace("a005,class5\n", "a005,class6\n")
    (tmp_path / "train.csv").write_text(changed)
    with pytest.raises(OrchardError, match=r"1 row has other labels \(first 'a005'\)"):
        run(tmp_path / "out", **settings)


def test_one_hot_columns_of_many_classes_have_the_class_alone_and_soft_ones_do_not(
    inputs, tmp_path
):
    names = [f"class{n}" for n in range(_CLASSES)]
    hard = [(f"a{n:03d}", *np.eye(_CLASSES, dtype=int)[n]) for n in range(_CLASSES)]
    soft = [list(row) for row in hard]
    soft[0][1:3] = [0.5, 0.5]
    for kind, rows in (("hard", hard), ("soft", soft)):
        csv = write_csv(tmp_path / f"{kind}.csv", [("image_id", *names), *rows])
        images = inputs["images_dir"]
        columns = tuple(names)
        made, _ = run(tmp_path / kind, csv=csv, images_dir=images, label_columns=columns)
        assert load_manifest(made).has_targets == (kind == "soft")
        targets = load_records(made, "train")
        wanted = {row[0]: np.float32(row[1:]) for row in rows}
        for image_id, target in zip(targets.ids, targets.targets, strict=True):
            np.testing.assert_array_equal(target, wanted[image_id])
