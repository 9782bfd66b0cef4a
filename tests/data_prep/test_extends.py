"""--extends: versions that grow out of older ones."""

import csv
import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_prep.verification.audit import audit_dataset
from data_prep.verification.trace import trace_image
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import load_manifest, tfrecord
from orchard.formats.manifest import load_records
from tests.data_prep.builders import (
    CLASSES,
    digests,
    interrupted,
    jpeg,
    make_input,
    run,
    write_csv,
)

FOLDS = {"folds": 3, "hosts": 2}


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Version 1.0.0 of 30 labeled images in folds and 4 of `test`, and the flags it was made by."""
    folder = tmp_path_factory.mktemp("old")
    flags = make_input(folder / "in", rows=30, test_rows=4)
    return Path(run(folder / "out", **FOLDS, **flags)[0]), flags


def labels_of(flags):
    with open(flags["csv"], newline="") as file:
        return dict(list(csv.reader(file))[1:])


@pytest.fixture
def grown(old, tmp_path):
    """Flags of the next version: 9 images more, two other labels, one image less."""
    directory, flags = old
    images = Path(shutil.copytree(flags["images_dir"], tmp_path / "images"))
    labels = labels_of(flags)
    del labels["a004"]
    labels |= {"a000": "coat", "a017": "bag"}
    for at in range(9):
        (images / f"n{at}.jpg").write_bytes(jpeg(1000 + at))
        labels[f"n{at}"] = CLASSES[at % 3]
    return grown_flags(old, tmp_path, labels, images_dir=str(images))


def grown_flags(old, folder, labels, **more):
    directory, flags = old
    path = write_csv(folder / "grown.csv", [("image_id", "label"), *labels.items()])
    settled = {**FOLDS, **flags, "csv": path, "version": "1.1.0", "extends": str(directory)}
    return {**settled, **more}


def records_of(directory, feature="label"):
    """By id: the image's bytes and the label, or all labels, as TFDS reads them."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(directory)
    found = {}
    for split in builder.info.splits:
        for shard in builder.info.splits[split].filepaths:
            with open(shard, "rb") as file:
                for frame in tfrecord.read_frames(file, shard):
                    example = tfrecord.Example(frame.payload)
                    image_id = example.bytes_of("image_id").decode()
                    labels = example.ints_of(feature)
                    label = labels[0] if feature == "label" else labels
                    found[image_id] = (example.bytes_of("image"), label)
    return found


def shard_files(directory):
    return {path.name: path.stat() for path in Path(directory).iterdir() if "tfrecord" in path.name}


def test_extends_with_added_relabeled_and_withdrawn_rows_has_the_records_of_the_csv(
    old, grown, tmp_path
):
    before = digests(old[0])
    directory, said = run(tmp_path / "out", **grown)
    wanted = labels_of(grown)
    found = records_of(directory)
    tests = {f"t00{at}": -1 for at in range(4)}
    numbers = {image_id: CLASSES.index(label) for image_id, label in wanted.items()} | tests
    assert {image_id: label for image_id, (_, label) in found.items()} == numbers
    for image_id, (image, _) in found.items():
        assert image == Path(grown["images_dir"], f"{image_id}.jpg").read_bytes()
    splits = load_records(directory).set_index("id")["split"]
    was = load_records(str(old[0])).set_index("id")["split"].drop("a004")
    assert (splits[was.index] == was).all()
    # What was added evens out what was withdrawn.
    assert splits[splits != "test"].value_counts().tolist() == [13, 13, 12]
    assert digests(old[0]) == before
    audit_dataset(str(old[0]), 1)
    audit_dataset(directory, 1)
    assert any(line.startswith("extends 1.0.0: 9 records added, 2 with other") for line in said)


def test_extends_takes_untouched_shards_over_and_says_so(old, grown, tmp_path):
    directory, _ = run(tmp_path / "out", **grown)
    (step,) = load_manifest(directory).lineage
    assert (step.version, step.added, step.relabeled, step.withdrawn) == ("1.0.0", 9, 2, 1)
    assert step.fingerprint == load_manifest(str(old[0])).fingerprint
    files, before = shard_files(directory), shard_files(old[0])
    linked = [
        file for file, source in step.shards.items() if files[file].st_ino == before[source].st_ino
    ]
    assert len(linked) == step.kept_shards >= 4
    assert len(step.shards) == step.kept_shards + step.rewritten_shards == 8
    assert step.new_shards == len(files) - 8 == 6  # two in each fold
    card = Path(directory, "report.html").read_text()
    assert "Lineage" in card and step.fingerprint[:12] in card and "--extends=DATA" in card
    kept = next(iter(load_records(directory)["id"]))
    lines = dict(trace_image(directory, kept).lines)
    assert lines["taken from"] == "1.0.0, clothes-fold0.tfrecord-00000-of-00002"


@pytest.mark.parametrize("links", [True, False])
def test_extends_after_an_interruption_leaves_the_undisturbed_bytes(
    grown, tmp_path, monkeypatch, links
):
    if not links:

        def refuse(*paths, **options):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, "link", refuse)
    wanted = digests(run(tmp_path / "undisturbed", **grown)[0])
    interrupted_at = tmp_path / "out"
    del grown["version"]
    staging = interrupted(interrupted_at, monkeypatch, version="1.1.0", **grown)
    left = Path(staging.root.replace("1.0.0", "1.1.0"), "files")
    shard = next(path for path in sorted(left.iterdir()) if "fold2" in path.name)
    shard.unlink()
    directory, said = run(interrupted_at, version="1.1.0", **grown)
    assert digests(directory) == wanted
    assert any("shards are there already and undamaged" in line for line in said)
    again, said = run(interrupted_at, version="1.1.0", **grown)
    assert said[-1].startswith("finished already") and digests(again) == wanted


def test_extends_without_the_old_photos_opens_new_ones_only(old, grown, tmp_path):
    for path in Path(grown["images_dir"]).glob("[at]*.jpg"):
        path.unlink()
    directory, _ = run(tmp_path / "out", **grown)
    assert len(load_records(directory)) == 30 + 4 + 9 - 1


def test_extends_of_converted_images_never_encodes_an_old_one_again(tmp_path):
    flags = {**make_input(tmp_path / "in", rows=12), "folds": 3, "short_side_px": 16}
    base, _ = run(tmp_path / "out", **flags)
    labels = labels_of(flags) | {"a003": "shirt"}
    flags["csv"] = write_csv(tmp_path / "more.csv", [("image_id", "label"), *labels.items()])
    shutil.rmtree(flags["images_dir"])
    os.mkdir(flags["images_dir"])
    directory, _ = run(tmp_path / "out", **flags, version="1.1.0", extends=base)
    before, now = (records_of(one) for one in (base, directory))
    assert {one: image for one, (image, _) in now.items()} == {
        one: image for one, (image, _) in before.items()
    }
    assert now["a003"][1] == 2
    (step,) = load_manifest(directory).lineage
    assert (step.kept_shards, step.rewritten_shards, step.new_shards) == (3, 1, 0)


def test_extends_twice_shows_both_steps(old, grown, tmp_path):
    first, _ = run(tmp_path / "out", **grown)
    labels = labels_of(grown)
    del labels["n3"]
    second = grown_flags(
        old, tmp_path, labels, version="1.2.0", extends=first, images_dir=grown["images_dir"]
    )
    directory, _ = run(tmp_path / "out", **second)
    steps = load_manifest(directory).lineage
    assert [(one.version, one.added, one.withdrawn) for one in steps] == [
        ("1.0.0", 9, 1),
        ("1.1.0", 0, 1),
    ]
    card = Path(directory, "report.html").read_text()
    assert "1.1.0, fingerprint" in card and "1.0.0, fingerprint" in card
    said = []
    audit_dataset(directory, 1, log=said.append)
    assert any(line.endswith("agree with the 1.1.0 beside it") for line in said)


def test_extends_of_many_classes_keeps_their_numbers(tmp_path):
    names = tuple(f"c{at:03d}" for at in range(300))
    flags = make_input(tmp_path / "in", rows=6)
    labels = {image_id: names[7 * at] for at, image_id in enumerate(labels_of(flags))}
    flags["csv"] = write_csv(tmp_path / "a.csv", [("image_id", "label"), *labels.items()])
    base, _ = run(tmp_path / "out", class_names=names, **flags)
    labels["a002"] = names[299]
    flags["csv"] = write_csv(tmp_path / "b.csv", [("image_id", "label"), *labels.items()])
    more = {**flags, "version": "2.0.0", "extends": base}
    directory, _ = run(tmp_path / "out", class_names=names, **more)
    assert records_of(directory)["a002"][1] == 299
    audit_dataset(directory, 1)
    with pytest.raises(OrchardError, match=r"(?s)less .*; if these are .*features.json"):
        run(tmp_path / "out", **{**more, "version": "3.0.0"})


def many_labels_csv(path, labels, shape):
    """A CSV of sets of class numbers: one column a class, or one of names."""
    if shape == "columns":
        rows = [(one, *(int(at in those) for at in range(3))) for one, those in labels.items()]
        return write_csv(path, [("image_id", *CLASSES), *rows])
    rows = [(one, " ".join(CLASSES[at] for at in those)) for one, those in labels.items()]
    return write_csv(path, [("image_id", "labels"), *rows])


@pytest.mark.parametrize("shape", ["columns", "names"])
def test_extends_of_many_labels_keeps_the_folds_even_in_every_class(tmp_path, shape):
    # The first class is in half of the images, the last in a ninth of them; some have all three.
    flags = make_input(tmp_path / "in", rows=36, test_rows=0)
    labels = {
        f"a{at:03d}": [c for c, every in enumerate((2, 3, 9)) if at % every == 0] or [1] * (at % 5)
        for at in range(36)
    }
    labels = {one: sorted({*those}) for one, those in labels.items() if those or shape == "columns"}
    settings = {
        **FOLDS,
        "images_dir": flags["images_dir"],
        "label_shape": shape,
        "task": "multi_label",
    }
    csv_file = many_labels_csv(tmp_path / "old.csv", labels, shape)
    base, _ = run(tmp_path / "out", csv=csv_file, **settings)
    was, before = load_records(base).set_index("id")["split"], records_of(base, "labels")
    assert {one: those for one, (_, those) in before.items()} == labels

    changed = {"a000": [1], "a001": [0, 2]}  # One label less, and others.
    labels |= changed
    withdrawn = [labels.pop(one) and one for one in ("a009", "a018")]  # Both of the rare class.
    for at in range(18):
        one = f"n{at:02d}"
        Path(flags["images_dir"], f"{one}.jpg").write_bytes(jpeg(1000 + at))
        labels[one] = [2] if at < 5 else [0, 1, 2] if at < 7 else [at % 2]
    csv_file = many_labels_csv(tmp_path / "new.csv", labels, shape)
    directory, said = run(tmp_path / "out", csv=csv_file, version="1.1.0", extends=base, **settings)
    assert any("18 records added, 2 with other labels, 2 withdrawn" in line for line in said)
    now = records_of(directory, "labels")
    assert {one: those for one, (_, those) in now.items()} == labels
    kept = was.drop(withdrawn).index
    assert all(now[one][0] == before[one][0] for one in kept)
    records = load_records(directory).set_index("id")
    assert (records["split"][kept] == was[kept]).all()
    assert {one: np.flatnonzero(target).tolist() for one, target in records["target"].items()} == (
        labels
    )
    sums = np.stack([np.sum(list(one["target"]), 0) for _, one in records.groupby("split")])
    assert (sums.max(0) - sums.min(0) <= 1).all(), sums
    sizes = records["split"].value_counts()
    assert sizes.max() - sizes.min() <= 2
    for one in (base, directory):
        audit_dataset(one, 1)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"folds": 4}, "--folds=4, but .* was prepared with --folds=3; pass --folds=3, or leave"),
        ({"folds": 0}, "--folds=0, but .* was prepared with --folds=3"),
        ({"short_side_px": 8}, "--short_side=8, but .*; leave it out, or leave --extends out"),
        ({"near_duplicates": True}, "--near_duplicates=True, but .* leave it out"),
        ({"seed": 5}, "--seed=5, but .* --seed=0; leave it out"),
        ({"name": "shoes"}, "is a version of clothes; pass --name=clothes"),
        ({"version": "1.0.0"}, "is the version that it extends; pass a higher one"),
        ({"time_column": "when"}, "orders all rows anew, .*: leave --extends out"),
        ({"test_csv": None}, "the split 'test' of .* would be gone; pass --test_csv"),
        ({"class_names": ("bag", "coat", "shirt", "boot")}, r"1 class more \('boot'\) against"),
        ({"extends": "nowhere"}, "nowhere does not exist; pass the directory"),
    ],
)
def test_extends_with_what_cannot_change_is_refused_in_one_line(old, tmp_path, change, message):
    flags = grown_flags(old, tmp_path, labels_of(old[1]))
    with pytest.raises(OrchardError, match=message) as caught:
        run(tmp_path / "out", **{**flags, **change})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "clothes").exists()


def test_extends_with_a_copy_of_an_old_test_image_refuses_or_leaves_it_out(old, grown, tmp_path):
    images = Path(grown["images_dir"])
    shutil.copy(images / "t001.jpg", images / "n4.jpg")
    with pytest.raises(OrchardError, match="1 would move between splits.*'t001' of split 'test'"):
        run(tmp_path / "out", **grown)
    directory, _ = run(tmp_path / "out", on_bad="skip", **grown)
    assert "n4" not in set(load_records(directory)["id"])
    assert "n4" in Path(directory, "quarantine.csv").read_text()


def test_extends_with_look_alikes_of_old_images_puts_them_beside_these(tmp_path):
    flags = {**make_input(tmp_path / "in", rows=12), "folds": 3, "near_duplicates": True}
    images = Path(flags["images_dir"])
    for at in range(4):
        (images / f"a00{at}.jpg").write_bytes(jpeg(500 + at, 60, 80, quality=95))
    base, _ = run(tmp_path / "out", **flags)
    labels = labels_of(flags)
    for at in range(4):
        (images / f"n{at}.jpg").write_bytes(jpeg(500 + at, 60, 80, quality=60))
        labels[f"n{at}"] = "bag"
    flags["csv"] = write_csv(tmp_path / "more.csv", [("image_id", "label"), *labels.items()])
    directory, said = run(tmp_path / "out", **flags, version="1.1.0", extends=base)
    splits = load_records(directory).set_index("id")["split"]
    assert [splits[f"n{at}"] for at in range(4)] == [splits[f"a00{at}"] for at in range(4)]
    assert any("8 nearly identical images in 4 groups" in line for line in said)


@pytest.mark.parametrize("damage", ["cut", "altered"])
def test_extends_of_a_damaged_version_names_the_shard(old, grown, tmp_path, damage):
    base = Path(shutil.copytree(old[0], tmp_path / "clothes" / "1.0.0"))
    row = load_records(str(base)).set_index("id").loc["a000"]
    shard = base / f"clothes-{row['split']}.tfrecord-0000{row['shard']}-of-00002"
    content = bytearray(shard.read_bytes())
    if damage == "cut":
        shard.write_bytes(content[:-1])
    else:
        content[row["offset"] + 100] ^= 1
        shard.write_bytes(content)
    with pytest.raises(OrchardError, match=shard.name) as caught:
        run(tmp_path / "out", **{**grown, "extends": str(base)})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "clothes").exists()


def test_extends_of_a_damaged_index_is_refused(old, grown, tmp_path):
    base = Path(shutil.copytree(old[0], tmp_path / "clothes" / "1.0.0"))
    with open(base / "records.parquet", "ab") as file:
        file.write(b"more")
    with pytest.raises(
        OrchardError, match="records.parquet is missing or damaged; leave --extends"
    ):
        run(tmp_path / "out", **{**grown, "extends": str(base)})


def test_verify_of_a_dataset_that_grew_finds_what_contradicts_its_lineage(old, grown, tmp_path):
    shutil.copytree(old[0], tmp_path / "out" / "clothes" / "1.0.0")
    directory, _ = run(tmp_path / "out", **grown)
    said = []
    audit_dataset(directory, 1, log=said.append)
    assert "agree with the 1.0.0 beside it" in said[-1]
    path = storage.join(directory, "manifest.json")
    for field, message in (
        ("added", "says 8 records added, 2 relabeled and 1 withdrawn, the indexes 9, 2 and 1"),
        ("relabeled", "says 9 records added, 1 relabeled and 1 withdrawn, the indexes 9, 2 and 1"),
        ("new_shards", "has 8 old and 5 new shards, its splits 8 and 6"),
    ):
        sound = storage.read_json(path)
        altered = {**sound["lineage"][0], field: sound["lineage"][0][field] - 1}
        storage.write_json(path, {**sound, "lineage": [altered]})
        with pytest.raises(OrchardError, match=message):
            audit_dataset(directory, 1)
        storage.write_json(path, sound)
    shutil.rmtree(tmp_path / "out" / "clothes" / "1.0.0")
    audit_dataset(directory, 1, log=said.append)
    assert said[-1].endswith("that version is not beside it, so nothing is compared with it")
