"""--weights=RUN: training further, perhaps on a newer version of the dataset."""

import dataclasses
import shutil

import numpy as np
import pytest

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import RunDir
from tests.trainer import runs
from trainer.folds import fold_config
from trainer.keras_module import keras
from trainer.loop import train_and_evaluate
from trainer.models import ARCHITECTURES, Architecture, NetworkOptions, build_network
from trainer.refit import refit_config
from trainer.training import continuation_lines, read_splits

_OLD, _NEW = "f00d", "beef"


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """A dataset of 54 records, and the version of 60 that grew out of it."""
    folder = tmp_path_factory.mktemp("versions") / "tiny"
    old, new = runs.tiny_dataset(folder / "1.0.0"), runs.tiny_dataset(folder / "1.1.0", count=60)
    path = storage.join(new, "manifest.json")
    step = {"version": "1.0.0", "fingerprint": _OLD, "library_versions": {}}
    step |= {"kept_shards": 9, "rewritten_shards": 0, "new_shards": 2}
    step |= {"added": 6, "relabeled": 0, "withdrawn": 0}
    changes = {"version": "1.1.0", "fingerprint": _NEW, "lineage": [step]}
    storage.write_json(path, storage.read_json(path) | changes)
    return old, new


@pytest.fixture(scope="module")
def finished(versions, tiny_backbone, tmp_path_factory):
    """A run on the older version, which holds fold 0 out."""
    config = runs.config(
        versions[0], tiny_backbone, tmp_path_factory.mktemp("run") / "old", epochs=2
    )
    assert train_and_evaluate(config) == 0
    return config


def further(finished, versions, run_dir="unused", **changes):
    """The flags of a run on the newer version that goes on from `finished`."""
    settled = {"dataset": versions[1], "run_dir": str(run_dir), "weights": finished.run_dir}
    return dataclasses.replace(finished, **{**settled, **changes})


def lines_of(config):
    return continuation_lines(config, read_splits(config)[1])


@pytest.fixture
def scaled_net(monkeypatch):
    """An architecture that scales its input once more with ImageNet weights, as EfficientNet."""

    def build(size_px, pretrained=False):
        keras.utils.set_random_seed(7)
        images = keras.Input((*size_px, 3))
        x = keras.layers.Rescaling(0.5)(images) if pretrained else images
        return keras.Model(images, keras.layers.Conv2D(4, 3)(x))

    def build_imagenet(size_px):
        return build(size_px, pretrained=True)

    monkeypatch.setattr(ARCHITECTURES, "_members", dict(ARCHITECTURES.items()))
    known = Architecture(build, 16, "zero_to_one", build_imagenet=build_imagenet)
    ARCHITECTURES.register("scaled_net")(known)
    return "scaled_net"


def test_build_network_of_a_run_keeps_layers_of_its_pretrained_weights(
    finished, scaled_net, tmp_path
):
    options = NetworkOptions(scaled_net, 3, 16, 16, "imagenet", class_names=("a", "b", "c"))
    was = build_network(options)
    run = RunDir(str(tmp_path))
    was.save(run.keras_file)
    record = storage.read_json(RunDir(finished.run_dir).record_file)
    changes = {"architecture": scaled_net, "class_names": ["a", "b", "c"]}
    storage.write_json(run.record_file, record | changes)
    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype(np.float32)
    again = build_network(dataclasses.replace(options, weights=run.path))
    np.testing.assert_allclose(again(images), was(images), rtol=1e-5)
    with pytest.raises(OrchardError, match="does not fit the network"):
        build_network(dataclasses.replace(options, architecture="resnet20", weights=run.path))


def test_train_and_evaluate_from_a_run_begins_where_it_ended_and_says_what_is_new(
    finished, versions, tmp_path, capsys
):
    config = further(finished, versions, tmp_path / "new", epochs=1, learning_rate=1e-9)
    assert train_and_evaluate(config) == 0
    said = capsys.readouterr().out
    assert (
        "it was trained on fold1+fold2 of tiny 1.0.0: 3 of 39 training records are new to it, the "
        "first 'r57'"
    ) in said
    now, was = (
        storage.read_json(RunDir(one.run_dir).record_file)["scores"]["accuracy"]
        for one in (config, finished)
    )
    # Fold 0 has three more records, and nothing was learned.
    assert now * 21 - was * 18 == pytest.approx(round(now * 21) - round(was * 18), abs=1e-6)
    assert 0 <= round(now * 21) - round(was * 18) <= 3


def test_read_splits_that_hold_out_what_the_run_has_seen_is_refused(finished, versions):
    with pytest.raises(OrchardError, match=r"18 of the records.*fold1 holds out.*--fold=0"):
        read_splits(further(finished, versions, fold="1"))


def test_read_splits_from_a_run_of_another_dataset_says_and_refuses_nothing(
    finished, versions, tmp_path
):
    other = str(shutil.copytree(versions[1], tmp_path / "shoes"))
    path = storage.join(other, "manifest.json")
    storage.write_json(path, storage.read_json(path) | {"name": "shoes", "fingerprint": "cafe"})
    assert lines_of(further(finished, versions, dataset=other, fold="1")) == []


def test_continuation_without_the_older_version_counts_by_the_lineage(finished, versions, tmp_path):
    alone = str(shutil.copytree(versions[1], tmp_path / "tiny" / "1.1.0"))
    run = shutil.copytree(finished.run_dir, tmp_path / "run")
    record = storage.read_json(RunDir(str(run)).record_file)
    record["dataset"]["path"] = "gone"
    storage.write_json(RunDir(str(run)).record_file, record)
    config = further(finished, versions, dataset=alone, weights=str(run))
    (line,) = lines_of(config)
    assert line.endswith("cannot be read any more: 6 records of all splits came since")
    # By the names of the splits it still knows what the run has trained on.
    with pytest.raises(OrchardError, match="trained on split 'fold1' that fold1 holds out"):
        read_splits(dataclasses.replace(config, fold="1"))


def test_fold_config_from_a_folder_of_folds_goes_on_from_each_folds_run(
    finished, versions, tmp_path
):
    storage.write_json(RunDir(str(tmp_path)).folds_file, {})
    config = further(finished, versions, weights=str(tmp_path))
    assert fold_config(config, "2").weights == str(tmp_path / "fold2")
    assert refit_config(config, 1, None).weights == str(tmp_path / "refit1")
