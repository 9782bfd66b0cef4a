import csv
import os
import shutil
from pathlib import Path

import pytest

from data_prep.labels import LabelOptions, SourceOptions
from data_prep.labels.sources.folders import FolderSource
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import load_manifest
from tests.data_prep.builders import config, digests, jpeg, run, write_csv
from tests.gcs.conftest import gcs, gcs_server  # noqa: F401

LITTER = (
    ".DS_Store",
    "._001.jpg",
    ".hidden/x.jpg",
    ".ipynb_checkpoints/001-checkpoint.jpg",
    "__MACOSX/cat/._001.jpg",
    "Thumbs.db",
    "desktop.ini",
)


def fill(root, *files):
    """Write files, with a picture of its own in each image; the root as text."""
    for seed, file in enumerate(files):
        path = Path(root, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(seed))
    return str(root)


def read(root, **options):
    return FolderSource(SourceOptions(images_dir=str(root), **options)).read()


def labels(tables):
    table = tables.labelled.table
    names = [table.class_names[target.argmax()] for target in table.targets.matrix]
    return dict(zip(table.ids, names, strict=True))


def test_read_of_one_folder_a_class_has_paths_as_ids_and_folders_as_classes(tmp_path):
    fill(tmp_path, "dog/2.PNG", "cat/1.jpg", "dog/10.jpeg", "10/a.webp", "9/a.jpg")
    tables = read(tmp_path)
    assert labels(tables) == {
        "10/a.webp": "10",
        "9/a.jpg": "9",
        "cat/1.jpg": "cat",
        "dog/10.jpeg": "dog",
        "dog/2.PNG": "dog",
    }
    table = tables.labelled.table
    assert list(table.ids) == sorted(table.ids)
    assert table.class_names == ("9", "10", "cat", "dog")
    assert table.csv_rows.tolist() == [2, 3, 4, 5, 6]
    assert tables.test is None and not table.problems


@pytest.mark.parametrize(
    "test_files", [("test/1.jpg", "test/2.jpg"), ("test/cat/1.jpg", "test/unknown/2.jpg")]
)
def test_read_of_train_and_test_has_test_images_without_labels(tmp_path, test_files):
    fill(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", *test_files)
    tables = read(tmp_path)
    assert labels(tables) == {"train/cat/1.jpg": "cat", "train/dog/1.jpg": "dog"}
    assert tables.test.table.ids == test_files
    assert (tables.test.table.targets.matrix == [[-1, -1], [-1, -1]]).all()


def test_read_of_train_alone_has_its_folders_as_classes(tmp_path):
    fill(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg")
    assert read(tmp_path).labelled.table.class_names == ("cat", "dog")


def test_read_of_a_class_called_train_among_others_is_a_class(tmp_path):
    fill(tmp_path, "bus/1.jpg", "train/1.jpg")
    assert read(tmp_path).labelled.table.class_names == ("bus", "train")


def test_read_of_litter_leaves_it_out(tmp_path):
    fill(tmp_path, "cat/1.jpg", *LITTER, *(f"cat/{name}" for name in LITTER))
    assert list(labels(read(tmp_path))) == ["cat/1.jpg"]


@pytest.mark.parametrize(
    ("files", "folders", "message"),
    [
        ((), (), "ROOT is empty; --layout=folders needs one folder a class"),
        (("train/cat/1.jpg",), ("test",), "ROOT/test is empty; "),
        ((), ("train", "test"), "ROOT/train is empty; "),
        (("1.jpg", "2.jpg"), (), "ROOT holds 2 images, the first is '1.jpg'; "),
        (("cat/1.jpg", "2.jpg"), (), "ROOT holds 1 images beside its folders, .* '2.jpg'; "),
        (("train/cat/1.jpg", "train/2.jpg"), (), "ROOT/train holds 1 images beside its folders"),
        (("train/cat/1.jpg", "2.jpg"), (), "ROOT holds 1 images beside its folders"),
        (
            ("train/cat/1.jpg", "test/1.jpg", "test/dog/1.jpg"),
            (),
            "ROOT/test holds 1 images beside its folders",
        ),
        (("cat/1.jpg", "cat/persian/1.jpg"), (), "ROOT/cat holds the folder 'persian', but"),
        (
            ("train/cat/1.jpg", "val/cat/1.jpg"),
            (),
            "ROOT/train holds the folder 'cat', but .* pass --eval_fraction",
        ),
        (("cat/1.jpg",), ("dog",), "ROOT/dog holds no image, so class 'dog' has none; remove"),
        (("cat/1.jpg", "cat/notes.txt"), (), "ROOT/cat/notes.txt is no image by its name; remove"),
        (("cat/1.jpg", "labels.csv"), (), "ROOT/labels.csv is no image by its name; remove"),
        (("cat /1.jpg",), (), "ROOT: 'cat ' cannot be a class name: it has a space"),
        (("c\nt/1.jpg",), (), r"the name 'c\\nt' is not UTF-8, or has a line break"),
    ],
)
def test_read_of_other_layouts_is_refused_in_one_line(tmp_path, files, folders, message):
    fill(tmp_path, *files)
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(OrchardError, match=message.replace("ROOT", str(tmp_path))) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_read_of_a_missing_folder_names_it(tmp_path):
    with pytest.raises(OrchardError, match="nowhere: no such folder of images"):
        read(tmp_path / "nowhere")


def test_read_of_a_name_that_is_not_utf8_is_refused(tmp_path):
    fill(tmp_path, "cat/1.jpg")
    os.makedirs(os.fsencode(tmp_path) + b"/d\xff")
    with pytest.raises(OrchardError, match=r"the name 'd\\udcff' is not UTF-8, or has"):
        read(tmp_path)


def test_read_with_an_extension_takes_such_files_for_images(tmp_path):
    fill(tmp_path, "cat/1.tile")
    assert list(labels(read(tmp_path, extension=".tile"))) == ["cat/1.tile"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"csv": "x.csv"}, "--csv=x.csv does not go with --layout=folders"),
        ({"test_csv": "x.csv"}, "--test_csv=x.csv does not go"),
        ({"test_images_dir": "x"}, "--test_images_dir=x does not go"),
        ({"image_column": "x"}, "--image_column=x does not go"),
        ({"label_columns": ("x", "y")}, "--label_columns=x,y does not go"),
        ({"group_column": "x"}, "--group_column=x does not go"),
        ({"label_shape": "columns"}, "--label_shape=columns: with --layout=folders"),
        ({"layout": "zip"}, "--layout=zip: choose one of csv, folders"),
        ({"layout": "csv"}, "--csv is required"),
    ],
)
def test_config_with_what_only_a_csv_can_have_is_refused(settings, message):
    with pytest.raises(OrchardError, match=message):
        config("out", images_dir="images", **{"layout": "folders", **settings})


def test_task_of_many_labels_is_refused(tmp_path):
    fill(tmp_path, "cat/1.jpg")
    with pytest.raises(OrchardError, match="--task=multi_label does not go with"):
        read(tmp_path, labels=LabelOptions(task="multi_label"))


TRAIN = ("train/cat/1.jpg", "train/cat/2.jpg", "train/tabby, gray/1.jpg", "train/dog/1.jpeg")
TEST = ("test/1.jpg", "test/2.jpg")


@pytest.mark.parametrize(
    "settings", [{}, {"eval_fraction": 0.3}, {"class_names": ("dog", "cat", "tabby, gray", "cow")}]
)
def test_prepare_of_folders_leaves_the_bytes_of_the_csv_that_says_the_same(tmp_path, settings):
    images = fill(tmp_path / "images", *TRAIN, *TEST)
    # Bad images, too: a quarantine names rows.
    Path(images, "train/dog/3.jpg").write_bytes(b"")
    Path(images, "test/3.jpg").write_bytes(b"<html")
    train = sorted((file, file.split("/")[1]) for file in (*TRAIN, "train/dog/3.jpg"))
    test = sorted((file,) for file in (*TEST, "test/3.jpg"))
    by_csv = {
        "csv": write_lf_csv(tmp_path / "train.csv", [("image_id", "label"), *train]),
        "test_csv": write_lf_csv(tmp_path / "test.csv", [("image_id",), *test]),
    }
    common = {"images_dir": images, "on_bad": "skip", **settings}
    wanted, _ = run(tmp_path / "by_csv", **common, **by_csv)
    found, said = run(tmp_path / "found", layout="folders", **common)
    assert digests(found) == digests(wanted)
    assert f"{images}: 5 images in one folder a class, single_label" in said[0]
    assert "3 images without labels: the split `test`" in said[1]


def test_prepare_of_folders_elsewhere_leaves_the_same_bytes(tmp_path):
    images = fill(tmp_path / "images", "cat/1.jpg", "dog/1.jpg")
    one, _ = run(tmp_path / "one", layout="folders", images_dir=images)
    moved = shutil.move(images, tmp_path / "moved")
    two, _ = run(tmp_path / "two", layout="folders", images_dir=str(moved) + "/")
    assert digests(one) == digests(two)
    assert load_manifest(one).inputs["csv"]["label_shape"] == "name"


def test_read_on_gcs_is_that_of_a_local_folder(tmp_path, gcs):  # noqa: F811
    files = ("train/cat/1.jpg", "train/dog/2.jpg", "test/3.jpg")
    local = fill(tmp_path, *files)
    for file in files:
        storage.write_bytes(gcs.path(f"images/{file}"), Path(local, file).read_bytes())
    one, other = read(local), read(gcs.path("images"))
    assert labels(one) == labels(other) and one.test.table.ids == other.test.table.ids
    assert one.labelled.table.sha256 == other.labelled.table.sha256


def write_lf_csv(path, rows):
    write_csv(path, [])
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return str(path)
