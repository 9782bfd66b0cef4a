import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from tests.trainer import runs as tiny
from tests.trainer.features import runs
from trainer.augment import AugmentOptions, augment_batch
from trainer.data import InputOptions, load_records, train_batches
from trainer.features.backbone import load_backbone
from trainer.features.views import FeatureSource
from trainer.runtime import Accelerator

_ALL_FOLDS = "fold0+fold1+fold2"
_AUGMENT = AugmentOptions(flips="both", rotate_degrees=20, brightness=0.3, crop_min_area=0.5)
_OPTIONS = InputOptions(height_px=16, width_px=16)


@pytest.fixture
def source(tiny_dataset, tiny_backbone, tmp_path):
    def make(**changes):
        folder = str(tmp_path / changes.pop("directory", "features"))
        config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run", **changes)
        accelerator = Accelerator("cpu", tf.distribute.get_strategy())
        return FeatureSource(config, accelerator, load_backbone(config, accelerator), folder)

    return make


def files_of(folder) -> dict[str, bytes]:
    return {
        os.path.join(os.path.relpath(where, folder), name): open(
            os.path.join(where, name), "rb"
        ).read()
        for where, _, names in os.walk(folder)
        for name in names
        if name.endswith(".npz")
    }


def go_on() -> bool:
    return True


def test_features_of_view_0_are_the_backbones_of_the_images_as_they_are(source, tiny_dataset):
    one, records = source(), load_records(tiny_dataset, "fold1+fold2")
    features = one.features(records, 0, go_on)
    batches = train_batches(
        records, _OPTIONS, batch_size=36, seed=0, start_step=0, num_steps=1, augment=None
    )
    (batch,) = batches
    wanted = one.backbone.network(tf.cast(batch["image"], tf.float32), training=False)
    np.testing.assert_allclose(features[batch["index"].numpy()], wanted, atol=1e-5)


def test_features_of_view_k_are_drawn_as_epoch_k_of_a_training_on_all_folds(source, tiny_dataset):
    one = source(feature_views=3, augment=_AUGMENT, seed=7)
    everything = load_records(tiny_dataset, _ALL_FOLDS)
    batches = train_batches(
        everything, _OPTIONS, batch_size=54, seed=7, start_step=2, num_steps=1, augment=_AUGMENT
    )
    (batch,) = batches
    images = augment_batch(batch["image"], batch["augment"], _AUGMENT)
    outputs = one.backbone.network(images, training=False).numpy()
    by_id = dict(zip(everything.ids[batch["index"].numpy()].tolist(), outputs, strict=True))
    for splits in ("fold1+fold2", "fold0", _ALL_FOLDS):
        records = load_records(tiny_dataset, splits)
        features = one.features(records, 2, go_on)
        wanted = np.stack([by_id[image_id] for image_id in records.ids.tolist()])
        np.testing.assert_allclose(features, wanted, atol=1e-4)
    plain = one.features(everything, 0, go_on)
    assert np.abs(features - plain).max() > 1e-2


def test_features_are_computed_once_for_all_folds(source, tiny_dataset):
    one = source()
    whole = one.features(load_records(tiny_dataset, _ALL_FOLDS), 0, go_on)
    kept = files_of(one.directory)
    assert len(kept) == len(load_records(tiny_dataset, _ALL_FOLDS).files)
    asked = []
    records = load_records(tiny_dataset, "fold0+fold2")
    features = one.features(records, 0, lambda: asked.append(1))
    rows = np.isin(load_records(tiny_dataset, _ALL_FOLDS).ids, records.ids)
    np.testing.assert_array_equal(features, whole[rows])
    assert asked == [] and files_of(one.directory) == kept


def test_features_of_some_records_of_the_shards_are_taken_from_whole_files(source, tiny_dataset):
    one, everything = source(directory="some"), load_records(tiny_dataset, _ALL_FOLDS)
    rows = np.arange(0, 54, 5)
    some = dataclasses.replace(everything.take(rows), splits=("repeat1_fold2",))
    features = one.features(some, 0, go_on)
    kept = files_of(one.directory)
    whole = one.features(everything, 0, go_on)
    np.testing.assert_array_equal(features, whole[rows])
    assert files_of(one.directory).items() >= kept.items()


def test_features_damaged_file_is_computed_anew_alone(source, tiny_dataset, capsys):
    one, records = source(), load_records(tiny_dataset, "fold0")
    features, kept = one.features(records, 0, go_on), files_of(one.directory)
    (name, *_) = kept
    path = os.path.join(one.directory, name)
    with open(path, "r+b") as file:
        file.truncate(200)
    np.testing.assert_array_equal(one.features(records, 0, go_on), features)
    assert f"{path} is damaged" in capsys.readouterr().out
    assert files_of(one.directory) == kept


def test_features_stop_when_asked_and_keep_whole_shards_alone(source, tiny_dataset):
    one, records = source(batch_size=4), load_records(tiny_dataset, "fold0")
    calls = []

    def go_on_twice():
        calls.append(1)
        return len(calls) < 3  # A shard of 7 records has two batches.

    assert one.features(records, 0, go_on_twice) is None
    assert len(files_of(one.directory)) == 1


def test_features_batch_size_is_what_replicas_can_share(source):
    assert source(batch_size=8).batch_size == 8


def test_features_of_a_damaged_record_are_refused_by_name_or_nan(source, tmp_path, tiny_backbone):
    dataset = tiny.tiny_dataset(tmp_path / "tiny" / "1.0.0")
    records = load_records(dataset, "fold0")
    with open(records.files[0], "r+b") as file:
        file.seek(records.offsets[1] + 40)
        file.write(b"no image at all")
    config = runs.config(dataset, tiny_backbone, tmp_path / "run")
    accelerator = Accelerator("cpu", tf.distribute.get_strategy())
    backbone = load_backbone(config, accelerator)
    strict = FeatureSource(config, accelerator, backbone, str(tmp_path / "features"))
    with pytest.raises(OrchardError, match=f"id '{records.ids[1]}'.*--on_bad_record=skip"):
        strict.features(records, 0, go_on)
    config = runs.config(dataset, tiny_backbone, tmp_path / "run", on_bad_record="skip")
    tolerant = FeatureSource(config, accelerator, backbone, str(tmp_path / "features"))
    features = tolerant.features(records, 0, go_on)
    assert np.flatnonzero(np.isnan(features).any(axis=1)).tolist() == [1]
    with pytest.raises(OrchardError, match="damaged"):  # Not what the tolerant one has kept.
        strict.features(records, 0, go_on)


@pytest.mark.slow
def test_features_killed_and_run_again_are_the_same_bytes(source, tiny_dataset, tmp_path):
    quiet = source(feature_views=2, augment=_AUGMENT, directory="quiet")
    for view in range(2):
        quiet.features(load_records(tiny_dataset, "fold1+fold2"), view, go_on)
    killed = source(feature_views=2, augment=_AUGMENT, directory="killed")
    flags = tiny.command(quiet.config)[3:]
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainer.features.dying", "8", *flags]
        + [f"--feature_cache={killed.directory}"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == -9, done.stderr
    kept = files_of(killed.directory)
    assert len(kept) == 8  # All shards of view 0, and some of view 1.
    asked = []

    def count():
        asked.append(1)
        return True

    for view in range(2):
        killed.features(load_records(tiny_dataset, "fold1+fold2"), view, count)
    assert files_of(killed.directory) == files_of(quiet.directory)
    assert len(asked) == len(files_of(quiet.directory)) - len(kept)  # One batch a shard.
