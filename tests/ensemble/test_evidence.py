"""Networks with folds and refits: who predicts, who vouches, and what that costs."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from ensemble import pipeline
from ensemble.config import EnsembleConfig
from ensemble.inference import SavedPredictor
from ensemble.main import remarks
from orchard.errors import OrchardError
from tests.ensemble.builders import make_dataset, make_member, read_jpeg

_FOLDS, _REFITS = ("net/fold0", "net/fold1"), ("net/refit0", "net/refit1")
_FOLD_NOISE, _REFIT_NOISE = 2.0, 0.3


def _make_network(root, dataset, fold_noise=_FOLD_NOISE, refit_noise=_REFIT_NOISE):
    """Two folds and two refits below `root`, of this noise each."""
    for fold in range(2):
        make_member(
            root / f"fold{fold}",
            dataset,
            seed=fold,
            noise=fold_noise,
            train_split=f"fold{1 - fold}",
            eval_split=f"fold{fold}",
        )
        make_member(
            root / f"refit{fold}",
            dataset,
            seed=5 + fold,
            noise=refit_noise,
            train_split="fold0+fold1",
            eval_split=None,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset of two folds, `dev` that nobody trained on, and test images; a network."""
    root = tmp_path_factory.mktemp("evidence")
    dataset = root / "leaves" / "1.0.0"
    make_dataset(dataset, {"fold0": 30, "fold1": 31, "dev": 40, "test": 9})
    _make_network(root / "net", dataset)
    return root, dataset


def _config(world, output, **changes):
    root, dataset = world
    values = {
        "members": (str(root / "net"),),
        "dataset": str(dataset),
        "output_dir": str(output),
        "export": False,
    }
    return EnsembleConfig(**{**values, **changes})


def _names(result):
    return tuple(member.name for member in result.inputs.members)


def _alone(world, output, names, **changes):
    """The ensemble of these runs, listed one by one."""
    members = tuple(str(world[0] / name) for name in names)
    return pipeline.run(_config(world, output, members=members, **changes))


@pytest.mark.parametrize(
    ("which", "names"),
    [
        ("auto", _REFITS),
        ("refits", _REFITS),
        ("folds", _FOLDS),
        ("both", _FOLDS + _REFITS),
    ],
)
def test_run_predicts_with_the_wanted_runs_and_scores_out_of_fold(which, names, world, tmp_path):
    result = pipeline.run(_config(world, tmp_path / "out", predict_with=which))
    assert _names(result) == names
    np.testing.assert_allclose(result.fit.combination.weights, 1 / len(names))
    alone = _alone(world, tmp_path / "alone", names, predict_with=which)
    np.testing.assert_array_equal(result.probabilities, alone.probabilities)
    assert len(result.inputs.held_out.ids) == 61
    folds = _alone(world, tmp_path / "folds", _FOLDS)
    assert result.held_out_board.ensemble.scores == folds.held_out_board.ensemble.scores


def test_run_of_folds_alone_writes_what_a_directory_without_refits_gives(world, tmp_path):
    shutil.copytree(world[0] / "net", tmp_path / "net", ignore=shutil.ignore_patterns("refit*"))
    members = (str(tmp_path / "net"),)
    files = []
    for changes in ({"members": members}, {"members": members, "predict_with": "folds"}, {}):
        output = tmp_path / str(len(files))
        settings = {"predict_with": "folds", "calibrate": True, "soft_labels": True} | changes
        pipeline.run(_config(world, output, **settings))
        found = {path.name: path.read_text() for path in output.glob("*.csv")}
        record = json.loads((output / "weights.json").read_text())
        assert "refits" not in record
        files.append(found | {"weights": str(record["networks"])})
    assert files[0] == files[1] == files[2]


def test_run_with_refits_says_what_the_folds_vouch_for(world, tmp_path):
    config = _config(world, tmp_path, soft_labels=True)
    result = pipeline.run(config)
    said = remarks(config, result)
    assert said[0] == "Refits, trained on all rows, predict."
    assert "those of the fold networks, each trained on 1 of 2 folds; the refits" in said[1]
    record = json.loads((tmp_path / "weights.json").read_text())
    assert [member["name"] for member in record["members"]] == list(_REFITS)
    assert record["refits"] == {
        "predict_with": "refits",
        "note": said[0],
        "vouched_by": list(_FOLDS),
        "caveat": said[1],
    }
    (network,) = record["networks"]
    assert (network["members"], network["weight"]) == (list(_REFITS), 1.0)
    page = (tmp_path / "report.html").read_text()
    assert said[0] in page and said[1] in page and "by the folds alone" in page
    soft = pd.read_csv(tmp_path / "soft_labels_out_of_fold.csv")
    assert sorted(soft["image_id"]) == sorted(result.inputs.held_out.ids)


def test_run_with_refits_neither_loads_nor_runs_the_folds(world, tmp_path):
    shutil.copytree(world[0] / "net", tmp_path / "net")
    for fold in range(2):
        shutil.rmtree(tmp_path / "net" / f"fold{fold}" / "saved_model")
    settings = {"members": (str(tmp_path / "net"),), "calibrate": True}
    result = pipeline.run(_config(world, tmp_path / "out", export=True, **settings))
    assert _names(result) == _REFITS
    assert len(list((tmp_path / "out" / "logits").glob("*.npz"))) == 2


def test_run_with_refits_calibrates_them_by_all_rows_of_their_folds(world, tmp_path):
    result = pipeline.run(_config(world, tmp_path / "out", calibrate=True))
    temperatures = result.fit.combination.member_temperatures
    assert temperatures[0] == temperatures[1] != 1.0
    folds = _alone(world, tmp_path / "folds", _FOLDS, calibrate=True)
    low, high = sorted(folds.fit.combination.member_temperatures[:, 0])
    assert low < temperatures[0] < high
    np.testing.assert_array_equal(
        result.fit.combination.temperature, folds.fit.combination.temperature
    )
    both = pipeline.run(_config(world, tmp_path / "both", calibrate=True, predict_with="both"))
    np.testing.assert_array_equal(
        both.fit.combination.member_temperatures,
        np.concatenate([folds.fit.combination.member_temperatures, temperatures]),
    )


def test_run_with_refits_exports_what_it_predicts(world, tmp_path):
    result = pipeline.run(_config(world, tmp_path, calibrate=True, export=True))
    records = result.inputs.records
    photos = [read_jpeg(records, row) for row in range(len(records))]
    predictor = SavedPredictor(str(tmp_path / "saved_model"))
    np.testing.assert_allclose(predictor.predict_jpegs(photos), result.probabilities, atol=1e-5)


def test_run_with_refits_and_views_fits_on_the_folds_views(world, tmp_path):
    result = pipeline.run(_config(world, tmp_path / "out", tta="mirror", calibrate=True))
    assert _names(result) == _REFITS
    folds = _alone(world, tmp_path / "folds", _FOLDS, tta="mirror", calibrate=True)
    for one, other in zip(result.inputs.held_out.logits, folds.inputs.held_out.logits, strict=True):
        np.testing.assert_array_equal(one, other)


def test_run_with_auto_takes_refits_unless_others_beat_them_on_a_split_of_no_member(
    world, tmp_path
):
    config = _config(world, tmp_path / "out", weights_split="dev", calibrate=True)
    result = pipeline.run(config)
    assert _names(result) == _REFITS
    said = remarks(config, result)
    assert said[0].startswith("Refits predict: neither folds nor both together beat them beyond")
    assert "gain in log_loss -" in said[0] and "on 40 held-out images" in said[0]
    assert len(said) == 1  # The refits were judged themselves: nobody vouches for them.
    record = json.loads((tmp_path / "out" / "weights.json").read_text())
    assert record["refits"]["vouched_by"] == list(_REFITS)
    assert record["members"][0]["temperature"] != record["members"][1]["temperature"]


def test_run_with_auto_takes_folds_that_beat_refits_beyond_chance(world, tmp_path):
    _make_network(tmp_path / "net", world[1], fold_noise=0.3, refit_noise=60.0)
    config = _config(world, tmp_path / "out", members=(str(tmp_path / "net"),), weights_split="dev")
    result = pipeline.run(config)
    assert _names(result) == _FOLDS
    said = remarks(config, result)[0]
    assert said.startswith("Folds predict, which beat refits alone (gain in log_loss +")
    record = json.loads((tmp_path / "out" / "weights.json").read_text())
    assert record["refits"]["predict_with"] == "folds" and record["refits"]["caveat"] == ""


def test_run_with_a_split_that_refits_trained_on_is_refused_or_said(world, tmp_path):
    for which in ("auto", "refits"):
        config = _config(world, tmp_path / "x", weights_split="fold0", predict_with=which)
        with pytest.raises(OrchardError, match="was trained on fold0"):
            pipeline.run(config)
    assert not (tmp_path / "x").exists()
    caveats = pipeline.run(_config(world, tmp_path / "out", split="fold1")).caveats
    assert caveats[0].startswith("Members trained on fold1")


def test_run_of_a_network_with_refits_beside_one_run_shares_weights_by_network(world, tmp_path):
    make_member(tmp_path / "single", world[1], seed=9, train_split="fold1", eval_split="fold0")
    members = (str(world[0] / "net"), str(tmp_path / "single"))
    result = pipeline.run(_config(world, tmp_path / "out", members=members, weights="3,1"))
    assert _names(result) == (*_REFITS, "single")
    np.testing.assert_allclose(result.fit.combination.weights, [0.375, 0.375, 0.25])
    assert len(result.inputs.held_out.ids) == 30
    assert any("the refits, trained on all folds, have none" in one for one in result.caveats)


def test_run_of_refits_without_folds_has_no_held_out_images(world, tmp_path):
    result = _alone(world, tmp_path / "out", _REFITS)
    assert _names(result) == _REFITS
    assert "trained without an evaluation split" in result.caveats[0]
    with pytest.raises(OrchardError, match="trained without an evaluation split"):
        _alone(world, tmp_path / "out", _REFITS, calibrate=True)
