import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from ensemble.inference.cache import LogitsCache
from ensemble.inference.one_pass import image_batches, predict_members
from ensemble.members.runs import load_members
from orchard.errors import OrchardError
from orchard.formats import ExportDir, InputSpec, Task, fingerprint_saved_model
from tests.ensemble.builders import make_dataset, make_member, read_jpeg
from trainer.data.decode import SCALES, decode_image
from trainer.data.load import load_records
from trainer.runtime import PjrtRuntime
from trainer.xla import data_mesh


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset of 23 test images, and three members of different sizes."""
    root = tmp_path_factory.mktemp("forward")
    dataset = root / "leaves" / "1.0.0"
    make_dataset(dataset, {"fold0": 12, "fold1": 12, "test": 23})
    for name, size, resize in (("a", (16, 16), "squash"), ("b", (20, 12), "crop")):
        make_member(root / name, dataset, size=size, resize=resize, seed=len(name))
    make_member(root / "c", dataset, size=(16, 16), seed=7)
    return root, dataset


def _members(root, names="abc"):
    return load_members([str(root / name) for name in names])[0]


def _one_by_one(member, records):
    """The same logits without any pipeline: one image a call."""
    network = tf.saved_model.load(member.saved_model_dir).signatures["images"]
    size = member.input
    rows = []
    for row in range(len(records)):
        image = decode_image(
            read_jpeg(records, row), size.height_px, size.width_px, size.resize, False
        )
        rows.append(network(images=image[tf.newaxis])["logits"].numpy()[0])
    return np.stack(rows)


def test_predict_members_in_any_batch_size_gives_every_row_of_every_member(world, tmp_path):
    root, dataset = world
    records, members = load_records(str(dataset), "test"), _members(root)
    expected = np.stack([_one_by_one(member, records) for member in members])
    for batch_size in (5, 23, 64):
        logits = predict_members(
            members, records, str(tmp_path / str(batch_size)), batch_size=batch_size
        )
        assert logits.shape == (3, 23, 3)
        np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("count", [1, 4])
def test_predict_members_on_jaxs_devices_gives_the_same_logits(count, world, tmp_path, devices):
    root, dataset = world
    records, members = load_records(str(dataset), "test"), _members(root)
    runtime = PjrtRuntime(data_mesh(devices[:count]))
    logits = predict_members(
        members, records, str(tmp_path), batch_size=6, tta="mirror", runtime=runtime
    )
    expected = predict_members(members, records, str(tmp_path / "tf"), batch_size=6, tta="mirror")
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_image_batches_of_three_sizes_decode_once_a_scale(world, monkeypatch):
    decodes, decode_jpeg = [], tf.io.decode_jpeg

    def count(*args, **kwargs):
        decodes.append(kwargs["ratio"])
        return decode_jpeg(*args, **kwargs)

    monkeypatch.setattr(tf.io, "decode_jpeg", count)
    records = load_records(str(world[1]), "test")
    specs = [InputSpec(side, side, "squash", False) for side in (8, 12, 16)]
    batch = next(iter(image_batches(records, specs, 4)))
    # Once in the graph, of which one image runs those that its sizes need.
    assert sorted(decodes) == sorted(SCALES)
    for row in range(4):
        for k, spec in enumerate(specs):
            expected = decode_image(read_jpeg(records, row), spec.height_px, spec.width_px)
            np.testing.assert_array_equal(batch[f"images{k}"][row], expected)


def test_predict_members_of_several_splits_gives_their_rows(world, tmp_path):
    root, dataset = world
    records, members = load_records(str(dataset), "fold1+test"), _members(root, "a")
    logits = predict_members(members, records, str(tmp_path), batch_size=8)
    np.testing.assert_allclose(logits[0], _one_by_one(members[0], records), atol=1e-5)


def _copy(world, tmp_path, name):
    """A member whose SavedModel may be removed."""
    shutil.copytree(world[0] / name, tmp_path / name)
    return tmp_path / name


def test_predict_members_again_loads_no_member(world, tmp_path):
    records, run = load_records(str(world[1]), "test"), _copy(world, tmp_path, "a")
    members = load_members([str(run)])[0]
    first = predict_members(members, records, str(tmp_path / "cache"), batch_size=8)
    shutil.rmtree(run / "saved_model")
    again = predict_members(members, records, str(tmp_path / "cache"), batch_size=8)
    assert np.array_equal(again, first)


def test_predict_members_with_a_new_one_loads_only_that_one(world, tmp_path):
    records, run = load_records(str(world[1]), "test"), _copy(world, tmp_path, "a")
    members = load_members([str(run)])[0]
    predict_members(members, records, str(tmp_path / "cache"), batch_size=8)
    shutil.rmtree(run / "saved_model")
    both = (*members, *_members(world[0], "c"))
    logits = predict_members(both, records, str(tmp_path / "cache"), batch_size=8)
    np.testing.assert_allclose(logits[1], _one_by_one(both[1], records), atol=1e-5)


def test_predict_members_after_a_kill_computes_the_missing_rows(world, tmp_path):
    records, members = load_records(str(world[1]), "test"), _members(world[0], "ab")
    done = {0: np.arange(3, 17), 1: np.arange(5, 23, 2)}
    for at, rows in done.items():
        with LogitsCache(str(tmp_path), members[at], records, "none") as cache:
            cache.add_records(rows, np.full((len(rows), 3), 7.0, np.float32))
    logits = predict_members(members, records, str(tmp_path), batch_size=4)
    both = np.intersect1d(done[0], done[1])
    assert (logits[:, both] == 7.0).all()
    others = np.setdiff1d(np.arange(23), both)
    for one, member in zip(logits, members, strict=True):
        np.testing.assert_allclose(one[others], _one_by_one(member, records)[others], atol=1e-5)
    assert not list(tmp_path.glob("*/part-*"))


def test_predict_members_that_fails_midway_keeps_the_rows_before(world, tmp_path):
    records, (member,) = _damaged(world[1], tmp_path, row=22), _members(world[0], "a")
    with pytest.raises(OrchardError, match="1 damaged record"):
        predict_members([member], records, str(tmp_path / "cache"), batch_size=2)
    done = LogitsCache(str(tmp_path / "cache"), member, records, "none").done
    assert done[0] and not done[22]


def test_predict_members_with_tta_gives_the_mean_over_the_views(world, tmp_path):
    root, dataset = world
    records, members = load_records(str(dataset), "test"), _members(root, "a")
    network = tf.saved_model.load(members[0].saved_model_dir).signatures["images"]
    images = np.stack(
        [decode_image(read_jpeg(records, row), 16, 16).numpy() for row in range(len(records))]
    )
    views = {
        "none": [images],
        "mirror": [images, images[:, :, ::-1]],
        "turns": [np.rot90(images, k, (1, 2)) for k in range(4)],
        "flips": [images, images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1]],
        "d4": [np.rot90(m, k, (1, 2)) for m in (images, images[:, :, ::-1]) for k in range(4)],
    }
    results = {}
    for tta, these in views.items():
        expected = np.mean([network(images=tf.constant(v))["logits"] for v in these], axis=0)
        results[tta] = predict_members(members, records, str(tmp_path), batch_size=9, tta=tta)[0]
        np.testing.assert_allclose(results[tta], expected, atol=1e-5)
    assert np.abs(results["none"] - results["flips"]).max() > 1e-3


def test_predict_members_with_quarter_turns_of_wide_inputs_is_refused(world, tmp_path):
    root, dataset = world
    with pytest.raises(OrchardError, match="20x12"):
        predict_members(
            _members(root, "ab"),
            load_records(str(dataset), "test"),
            str(tmp_path),
            batch_size=8,
            tta="d4",
        )


def test_predict_members_with_logits_that_are_not_finite_keeps_none(world, tmp_path):
    root, dataset = world
    make_member(tmp_path / "nan", dataset, noise=float("nan"))
    members = load_members([str(tmp_path / "nan")])[0]
    records = load_records(str(dataset), "test")
    with pytest.raises(
        OrchardError, match=r"nan gives logits that are not finite for image 'test_"
    ):
        predict_members(members, records, str(tmp_path / "cache"), batch_size=8)
    assert not LogitsCache(str(tmp_path / "cache"), members[0], records, "none").done.any()


def test_fingerprint_equals_the_trainers(tmp_path):
    import keras

    from trainer.results import export

    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    serving = export.ServingModule(network, ("a", "b"), Task.SINGLE_LABEL, 8, 8, "squash", False)
    expected = export.export(network, serving, ExportDir(str(tmp_path)))
    assert fingerprint_saved_model(str(tmp_path / "saved_model")) == expected


def _damaged(dataset, tmp_path, row):
    """The test split of a copy of a dataset with one byte changed."""
    copy = tmp_path / "leaves"
    shutil.copytree(dataset, copy)
    records = load_records(str(copy), "test")
    with open(records.files[records.file_index[row]], "r+b") as shard:
        shard.seek(records.offsets[row] + 100)
        byte = shard.read(1)[0]
        shard.seek(-1, os.SEEK_CUR)
        shard.write(bytes([byte ^ 255]))
    return records


def test_predict_members_of_a_damaged_record_names_it_in_one_line(world, tmp_path):
    records = _damaged(world[1], tmp_path, row=2)
    with pytest.raises(OrchardError, match="1 damaged record: ") as caught:
        predict_members(_members(world[0], "a"), records, str(tmp_path / "c"), batch_size=8)
    assert str(records.ids[2]) in str(caught.value)
    assert "on_bad_record" not in str(caught.value)
    assert "\n" not in str(caught.value)
