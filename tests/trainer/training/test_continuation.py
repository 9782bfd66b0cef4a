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
from trainer.loop import train_and_evaluate
from trainer.models import NetworkOptions, build_network
from trainer.refit import refit_config
from trainer.results.export import load_network
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


def test_build_network_of_a_run_has_its_weights_and_its_head(finished):
    options = NetworkOptions(finished.architecture, 3, 16, 16, weights=finished.run_dir)
    network, was = build_network(options), load_network(RunDir(finished.run_dir))
    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(network(images), was(images), rtol=1e-5)
    assert [layer.name for layer in network.layers] == [layer.name for layer in was.layers]
    dropping = build_network(dataclasses.replace(options, dropout=0.5))
    np.testing.assert_allclose(dropping(images), was(images), rtol=1e-5)
    other = build_network(dataclasses.replace(options, num_classes=5))
    assert other(images).shape == (4, 5)


def test_train_and_evaluate_from_a_run_begins_where_it_ended_and_says_what_is_new(
    finished, versions, tmp_path, capsys
):
    config = further(finished, versions, tmp_path / "new", epochs=1, learning_rate=1e-9)
    assert train_and_evaluate(config) == 0
    said = capsys.readouterr().out
    assert (
        f"going on from the weights of {finished.run_dir} (tiny 1.0.0, fold1+fold2): 3 of 39 "
        "training records are new to it, the first 'r57'"
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


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"architecture": "resnet20", "image_size": "16"},
            "is of --architecture=.*tiny.keras, not",
        ),
        ({"image_size": "24"}, "is of --image_size=16x16, not 24x24; pass --image_size=16x16"),
        ({"preprocessing": "inside"}, "is of --preprocessing=auto, not inside"),
    ],
)
def test_read_splits_of_another_network_than_the_run_is_refused(
    finished, versions, changes, message
):
    with pytest.raises(OrchardError, match=message):
        read_splits(further(finished, versions, **changes))


def test_read_splits_of_other_classes_than_the_run_is_refused(finished, versions, tmp_path):
    other = shutil.copytree(versions[1], tmp_path / "tiny")
    path = storage.join(str(other), "manifest.json")
    names = ["class0", "class1", "another"]
    storage.write_json(path, storage.read_json(path) | {"class_names": names, "fingerprint": "a"})
    with pytest.raises(OrchardError, match="has 3 classes, which are not.*model.keras"):
        read_splits(further(finished, versions, dataset=str(other)))


def test_continuation_without_the_older_version_counts_by_the_lineage(finished, versions, tmp_path):
    alone = str(shutil.copytree(versions[1], tmp_path / "tiny" / "1.1.0"))
    run = shutil.copytree(finished.run_dir, tmp_path / "run")
    record = storage.read_json(RunDir(str(run)).record_file)
    record["dataset"]["path"] = "gone"
    storage.write_json(RunDir(str(run)).record_file, record)
    config = further(finished, versions, dataset=alone, weights=str(run))
    (line,) = lines_of(config)
    assert line.endswith("cannot be read any more; 6 records of all splits came since")
    # By the names of the splits it still knows what the run has trained on.
    with pytest.raises(OrchardError, match="trained on split 'fold1' that fold1 holds out"):
        read_splits(dataclasses.replace(config, fold="1"))


def test_read_splits_of_an_unfinished_run_or_a_folder_of_folds_is_refused(
    finished, versions, tmp_path
):
    storage.write_json(RunDir(str(tmp_path / "begun")).config_file, {})
    storage.write_json(RunDir(str(tmp_path / "all")).folds_file, {})
    with pytest.raises(OrchardError, match="is a run that is not finished; run its command again"):
        read_splits(further(finished, versions, weights=str(tmp_path / "begun")))
    config = further(finished, versions, weights=str(tmp_path / "all"))
    with pytest.raises(OrchardError, match="is of --fold=all; pass one of its runs, .*fold0"):
        read_splits(config)
    # All folds, each from the run of its fold.
    assert fold_config(config, "2").weights == str(tmp_path / "all" / "fold2")
    assert refit_config(config, 1, None).weights == str(tmp_path / "all" / "refit1")
