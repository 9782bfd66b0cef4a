import json
import os

import pytest

from orchard.errors import OrchardError
from orchard.formats import manifest as manifests
from tests.trainer.datasets import jpeg, numbered_dataset, smooth_image, write_dataset
from trainer.data.load import load_records


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    images = [jpeg(smooth_image(i, 8, 8)) for i in range(20)]
    splits = {"fold0": range(0, 9), "fold1": range(9, 15), "test": range(15, 20)}
    labels = [i % 3 for i in range(15)] + [-1] * 5
    return write_dataset(
        tmp_path_factory.mktemp("data"), images, labels, splits=splits, num_classes=3
    )


def test_load_records_any_order_of_splits_gives_the_datasets_order(directory):
    table = load_records(directory, "fold1+fold0")
    assert table.ids.tolist() == [f"r{i}" for i in range(15)]
    assert table.splits == ("fold0", "fold1")
    assert [os.path.basename(path)[5:10] for path in table.files] == ["fold0", "fold0", "fold1"]
    assert table.file_index.tolist() == [0] * 7 + [1] * 2 + [2] * 6
    assert table.targets.argmax(axis=1).tolist() == [i % 3 for i in range(15)]
    assert table.class_names == ("class0", "class1", "class2")
    assert table.task == "single_label" and table.fingerprint == "f00d"


def test_load_records_unlabeled_split_has_targets_of_minus_1(directory):
    table = load_records(directory, "test")
    assert table.ids.tolist() == [f"r{i}" for i in range(15, 20)]
    assert (table.targets == -1).all()


@pytest.mark.parametrize(
    "splits, message",
    [
        ("fold2", "no split 'fold2'.*there are fold0, fold1, test"),
        ("fold0+", "no split ''"),
        ("fold0+fold0", "split 'fold0' is named twice"),
    ],
)
def test_load_records_wrong_split_is_refused_naming_it(directory, splits, message):
    with pytest.raises(OrchardError, match=message):
        load_records(directory, splits)


def test_load_records_empty_split_or_missing_dataset_is_one_line(tmp_path):
    empty = write_dataset(tmp_path / "a", [], [], splits={"train": []})
    with pytest.raises(OrchardError, match="split 'train' holds no records"):
        load_records(empty, "train")
    with pytest.raises(OrchardError, match="does not exist"):
        load_records(str(tmp_path / "b"), "train")


def test_load_records_dataset_prepared_again_is_read_again(tmp_path):
    assert len(load_records(numbered_dataset(tmp_path, 5), "train")) == 5
    again = numbered_dataset(tmp_path, 6)
    manifest = os.path.join(again, "manifest.json")
    text = open(manifest).read().replace("f00d", "beef")
    open(manifest, "w").write(text)
    assert len(load_records(again, "train")) == 6


def test_load_records_of_images_squashed_at_preparation_know_their_side(tmp_path):
    images = [jpeg(smooth_image(0, 20, 20))] * 4
    plain = write_dataset(tmp_path / "plain", images, [0, 1, 0, 1])
    assert load_records(plain, "train").square_px == 0
    path = tmp_path / "plain" / manifests.MANIFEST_FILE
    content = json.loads(path.read_text())
    content["settings"]["square_px"] = 20
    path.write_text(json.dumps(content))
    assert load_records(plain, "train").square_px == 20
