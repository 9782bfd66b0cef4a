"""`CsvImages` by TFDS's own measure."""

from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from data_prep.dataset import CsvImages
from orchard.errors import OrchardError
from tests.data_prep.builders import digests, jpeg, make_input, run


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return make_input(tmp_path_factory.mktemp("dataset") / "in")


@pytest.fixture(scope="module")
def builder_class(given):
    return CsvImages.define("orchard_clothes", folds=3, workers=1, **given)


@pytest.fixture(scope="module")
def tfds_case(given, builder_class):
    class Case(tfds.testing.DatasetBuilderTestCase):
        DATASET_CLASS = builder_class
        SPLITS = {"fold0": 4, "fold1": 4, "fold2": 4, "test": 3}
        EXAMPLE_DIR = given["images_dir"]

    return Case


@pytest.mark.parametrize(
    "name", ["test_baseclass", "test_registered", "test_info", "test_tags_are_valid"]
)
def test_define_makes_a_class_that_passes_tfds_own_checks(tfds_case, name):
    run_case(tfds_case, name)


def test_download_and_prepare_passes_tfds_own_check(tfds_case):
    run_case(tfds_case, "test_download_and_prepare_as_dataset")


def run_case(case, name):
    import unittest

    result = unittest.TestResult()
    unittest.TestSuite([case(name)]).run(result)
    assert result.testsRun == 1
    assert not result.failures + result.errors, (result.failures + result.errors)[0][1]


def test_download_and_prepare_leaves_the_bytes_of_the_command(given, builder_class, tmp_path):
    builder = builder_class(data_dir=str(tmp_path / "tfds"))
    builder.download_and_prepare()
    command, _ = run(tmp_path / "out", **{**given, "name": "orchard_clothes2"}, folds=3)
    ours = digests(tmp_path / "tfds" / "orchard_clothes" / "1.0.0")
    shards = {name.replace("clothes2", "clothes"): d for name, d in digests(command).items()}
    assert {n: d for n, d in ours.items() if ".tfrecord-" in n} == {
        n: d for n, d in shards.items() if ".tfrecord-" in n
    }
    assert builder.info.features["label"].names == ["bag", "coat", "shirt"]
    images = list(builder.as_dataset(split="fold0+fold1", as_supervised=True))
    assert len(images) == 8 and images[0][0].shape[-1] == 3


def test_define_registers_a_name_that_tfds_loads(builder_class, tmp_path):
    assert "orchard_clothes" in tfds.list_builders()
    dataset = tfds.load("orchard_clothes", data_dir=str(tmp_path), split="test")
    assert [int(one["label"]) for one in dataset] == [-1, -1, -1]


def test_info_of_a_prepared_dataset_needs_no_csv(tmp_path):
    given = make_input(tmp_path / "in", rows=6, test_rows=0)
    del given["test_csv"]
    clothes = CsvImages.define("orchard_moved", workers=1, **given)
    clothes(data_dir=str(tmp_path)).download_and_prepare()
    Path(given["csv"]).unlink()
    assert clothes(data_dir=str(tmp_path)).info.splits["train"].num_examples == 6


def test_define_with_layout_folders_needs_no_csv(tmp_path):
    for number, name in enumerate(("coat", "bag", "coat")):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    clothes = CsvImages.define(
        "orchard_folders", workers=1, layout="folders", images_dir=str(tmp_path / "images")
    )
    builder = clothes(data_dir=str(tmp_path))
    builder.download_and_prepare()
    assert builder.info.features["label"].names == ["bag", "coat"]
    ids = {example["image_id"].numpy() for example in builder.as_dataset(split="train")}
    assert ids == {b"bag/1.jpg", b"coat/0.jpg", b"coat/2.jpg"}


def test_define_with_impossible_settings_is_refused():
    with pytest.raises(OrchardError, match="--name=mnist"):
        CsvImages.define("mnist", csv="x.csv", images_dir="x")
    with pytest.raises(OrchardError, match="--folds=1"):
        CsvImages.define("orchard_other", csv="x.csv", images_dir="x", folds=1)
    with pytest.raises(OrchardError, match="fold"):
        CsvImages.define("orchard_other", csv="x.csv", images_dir="x", fold=3)
