import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from ensemble.inference.cache import LogitsCache
from ensemble.inference.one_pass import load_saved_model, predict_members
from ensemble.members.runs import fingerprint, load_members
from orchard.errors import OrchardError
from tests.ensemble.builders import make_dataset, make_member, read_jpeg
from trainer.data.decode import decode_image
from trainer.data.load import load_records


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


def test_every_row_of_every_member_whatever_the_batch(world, tmp_path):
    root, dataset = world
    records, members = load_records(str(dataset), "test"), _members(root)
    expected = np.stack([_one_by_one(member, records) for member in members])
    for batch_size in (5, 23, 64):
        logits = predict_members(
            members, records, str(tmp_path / str(batch_size)), batch_size=batch_size
        )
        assert logits.shape == (3, 23, 3)
        np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_several_splits_in_one_pass(world, tmp_path):
    root, dataset = world
    records, members = load_records(str(dataset), "fold1+test"), _members(root, "a")
    logits = predict_members(members, records, str(tmp_path), batch_size=8)
    np.testing.assert_allclose(logits[0], _one_by_one(members[0], records), atol=1e-5)


def test_a_second_pass_computes_nothing(world, tmp_path, monkeypatch):
    root, dataset = world
    records, members = load_records(str(dataset), "test"), _members(root)
    first = predict_members(members, records, str(tmp_path), batch_size=8)
    monkeypatch.setattr("ensemble.inference.one_pass.LoadedMember", _must_not_run)
    assert np.array_equal(predict_members(members, records, str(tmp_path), batch_size=8), first)


def test_adding_a_member_computes_only_that_one(world, tmp_path, monkeypatch):
    from ensemble.inference import one_pass as module

    root, dataset = world
    records = load_records(str(dataset), "test")
    predict_members(_members(root, "ab"), records, str(tmp_path), batch_size=8)
    loaded = []
    real = module.LoadedMember
    monkeypatch.setattr(
        module, "LoadedMember", lambda member: loaded.append(member.name) or real(member)
    )
    predict_members(_members(root, "abc"), records, str(tmp_path), batch_size=8)
    assert loaded == ["c"]


def test_a_killed_pass_goes_on_with_the_missing_rows(world, tmp_path, monkeypatch):
    from ensemble.inference import one_pass as module

    root, dataset = world
    records, members = load_records(str(dataset), "test"), _members(root, "ab")
    whole = predict_members(members, records, str(tmp_path / "whole"), batch_size=4)
    steps, seen = module.run_members, []

    def killed_after_two(*args):
        for count, step in enumerate(steps(*args)):
            if count == 2:
                raise KeyboardInterrupt
            yield step

    monkeypatch.setattr(module, "run_members", killed_after_two)
    cache_dir = str(tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        predict_members(members, records, cache_dir, batch_size=4)
    cache = LogitsCache(cache_dir, members[0], records, "none")
    assert cache.done.sum() == 8

    def watched(*args):
        for rows, logits in steps(*args):
            seen.extend(rows.tolist())
            yield rows, logits

    monkeypatch.setattr(module, "run_members", watched)
    resumed = predict_members(members, records, cache_dir, batch_size=4)
    assert sorted(seen) == np.flatnonzero(~cache.done).tolist()
    np.testing.assert_allclose(resumed, whole, atol=1e-6)
    assert not list((tmp_path / "cache").glob("*/part-*"))


@pytest.mark.parametrize("finished", [False, True])
def test_cached_rows_of_other_images_are_not_used(world, tmp_path, finished):
    root, dataset = world
    records, (member,) = load_records(str(dataset), "test"), _members(root, "a")
    cache = LogitsCache(str(tmp_path), member, records, "none")
    cache.add(np.arange(len(records)), np.ones((len(records), 3), np.float32))
    if finished:
        cache.finish()
    assert LogitsCache(str(tmp_path), member, records, "none").done.all()
    for ids in (records.ids[::-1], records.ids[:-1]):
        others = dataclasses.replace(records, ids=ids)
        assert not LogitsCache(str(tmp_path), member, others, "none").done.any()


def test_tta_is_the_mean_over_the_views(world, tmp_path):
    root, dataset = world
    records, members = load_records(str(dataset), "test"), _members(root, "a")
    network = tf.saved_model.load(members[0].saved_model_dir).signatures["images"]
    images = np.stack(
        [decode_image(read_jpeg(records, row), 16, 16).numpy() for row in range(len(records))]
    )
    views = {
        "none": [images],
        "flips": [images, images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1]],
        "d4": [np.rot90(m, k, (1, 2)) for m in (images, images[:, :, ::-1]) for k in range(4)],
    }
    results = {}
    for tta, these in views.items():
        expected = np.mean([network(images=tf.constant(v))["logits"] for v in these], axis=0)
        results[tta] = predict_members(members, records, str(tmp_path), batch_size=9, tta=tta)[0]
        np.testing.assert_allclose(results[tta], expected, atol=1e-5)
    assert np.abs(results["none"] - results["flips"]).max() > 1e-3


def test_quarter_turns_need_square_inputs(world, tmp_path):
    root, dataset = world
    with pytest.raises(OrchardError, match="20x12"):
        predict_members(
            _members(root, "ab"),
            load_records(str(dataset), "test"),
            str(tmp_path),
            batch_size=8,
            tta="d4",
        )


def test_logits_that_are_not_finite_are_refused_and_not_kept(world, tmp_path):
    root, dataset = world
    make_member(tmp_path / "nan", dataset, noise=float("nan"))
    members = load_members([str(tmp_path / "nan")])[0]
    records = load_records(str(dataset), "test")
    with pytest.raises(
        OrchardError, match=r"nan gives logits that are not finite for image 'test_"
    ):
        predict_members(members, records, str(tmp_path / "cache"), batch_size=8)
    assert not LogitsCache(str(tmp_path / "cache"), members[0], records, "none").done.any()


def test_a_damaged_saved_model_is_one_line(world, tmp_path):
    root, dataset = world
    make_member(tmp_path / "broken", dataset)
    model = tmp_path / "broken" / "saved_model"
    members = load_members([str(tmp_path / "broken")])[0]
    records = load_records(str(dataset), "test")
    weights = next(model.glob("variables/*.data*"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit, which TensorFlow would load without a word
    weights.write_bytes(content)
    with pytest.raises(OrchardError, match="not those that run.json describes"):
        predict_members(members, records, str(tmp_path / "cache"), batch_size=8)
    (model / "saved_model.pb").write_bytes(b"cut")
    with pytest.raises(OrchardError, match="cannot be loaded") as caught:
        load_saved_model(str(model), "member broken")
    assert "\n" not in str(caught.value)


def test_the_fingerprint_is_the_trainers(tmp_path):
    import keras

    from trainer.results import export

    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    serving = export.ServingModule(network, ("a", "b"), 8, 8, "squash", False)
    expected = export.export(network, serving, str(tmp_path))
    assert fingerprint(str(tmp_path / "saved_model")) == expected


def test_a_damaged_record_is_named_in_one_line(world, tmp_path):
    root, dataset = world
    copy = tmp_path / "leaves"
    copy.mkdir()
    for file in dataset.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    records = load_records(str(copy), "test")
    damaged = 2
    with open(records.files[records.file_index[damaged]], "r+b") as shard:
        shard.seek(records.offsets[damaged] + 100)
        byte = shard.read(1)[0]
        shard.seek(-1, os.SEEK_CUR)
        shard.write(bytes([byte ^ 255]))
    with pytest.raises(OrchardError, match="1 damaged record: ") as caught:
        predict_members(_members(root, "a"), records, str(tmp_path / "c"), batch_size=8)
    assert str(records.ids[damaged]) in str(caught.value)
    assert "on_bad_record" not in str(caught.value)
    assert "\n" not in str(caught.value)


def _must_not_run(*_):
    raise AssertionError("a cached member was loaded")
