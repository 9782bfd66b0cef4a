import dataclasses
import html
import json
import os

import numpy as np
import pandas as pd
import pytest

from ensemble import pipeline
from ensemble.config import EnsembleConfig
from ensemble.main import remarks
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import AutoViews, EnsembleRecord, Price
from tests.ensemble.builders import CLASS_NAMES, make_dataset, make_member, make_world, world_config
from trainer.evaluation import probabilities


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("pipeline"))


def test_run_writes_every_image_with_class_and_probabilities(world, tmp_path):
    result = pipeline.run(world_config(world, tmp_path, weights="2,1,1"))
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert list(table.columns) == ["image_id", "class", *CLASS_NAMES]
    assert list(table["image_id"]) == [f"test_{i:04d}" for i in range(37)]
    mean = (2 * result.logits[0] + result.logits[1] + result.logits[2]) / 4
    expected = probabilities(mean, "single_label")
    np.testing.assert_allclose(table[list(CLASS_NAMES)], expected, atol=1e-6)
    assert list(table["class"]) == [CLASS_NAMES[at] for at in expected.argmax(axis=1)]


def test_run_writes_to_weights_json_what_was_done(world, tmp_path):
    pipeline.run(world_config(world, tmp_path, weights="2,1,1", combine="probabilities"))
    record = json.loads((tmp_path / "weights.json").read_text())
    assert record["schema_version"] == 1
    assert [m["weight"] for m in record["members"]] == [0.5, 0.25, 0.25]
    assert record["combine"] == "probabilities"
    assert record["class_names"] == list(CLASS_NAMES)
    assert record["selection"] is None


def test_run_with_labels_csv_scores_an_unlabeled_split(world, tmp_path):
    result = pipeline.run(world_config(world, tmp_path, labels_csv=str(world[2])))
    board = result.split_board
    assert [entry.candidate.name for entry in board.entries] == ["a", "b", "c", "ensemble"]
    assert 0.5 < board.ensemble.scores["accuracy"] <= 1.0
    assert "37 labeled images" in board.where
    report = (tmp_path / "report.html").read_text()
    assert "Worst mistakes" in report
    assert "Where members disagree" in report
    assert "data:image/jpeg" in report


def test_run_of_runs_whose_cost_is_known_says_it_everywhere(world, tmp_path):
    config = world_config(world, tmp_path, members="ab", labels_csv=str(world[2]), tta="mirror")
    result = pipeline.run(config)
    record = EnsembleRecord.load(str(tmp_path / "weights.json"))
    both = Price(40.0, "CPU-s", 2 * 8_000_000_000)  # Two views an image.
    assert [one.price for one in record.members] == [one.price for one in record.networks]
    assert record.members[0].price == Price(10.0, "CPU-s", 2 * 2_000_000_000)
    assert record.price == both == result.prices.ensemble
    assert result.split_board.ensemble.candidate.price == both
    page = (tmp_path / "report.html").read_text()
    assert "Score against cost" in page and "40 CPU-s</td>" in page and "unknown" not in page
    sentence = result.cheapest.sentence
    assert "the best" in sentence and sentence in remarks(config, result)
    assert sentence in html.unescape(page)


def test_run_without_labels_reports_held_out_scores(world, tmp_path):
    result = pipeline.run(world_config(world, tmp_path))
    assert result.split_board is None
    assert result.held_out_board.entries[0].candidate.name == "a"
    assert "The split has no labels" in (tmp_path / "report.html").read_text()


def test_run_of_one_member_gives_its_own_probabilities(world, tmp_path):
    result = pipeline.run(
        world_config(world, tmp_path, members="a", weights="greedy", labels_csv=str(world[2]))
    )
    expected = probabilities(result.logits[0], "single_label")
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-7)
    assert result.split_board.verdict.startswith("One network, so there is nothing to combine")
    page = (tmp_path / "report.html").read_text()
    assert 'class="verdict warn"' not in page and 'class="verdict"' in page


def test_run_with_greedy_weights_and_calibration_fits_out_of_fold_logits(world, tmp_path):
    result = pipeline.run(
        world_config(
            world,
            tmp_path,
            weights="greedy",
            calibrate=True,
            metric="log_loss",
            soft_labels=True,
            labels_csv=str(world[2]),
        )
    )
    record = json.loads((tmp_path / "weights.json").read_text())
    assert record["weights_split"] == "OUT_OF_FOLD"
    assert record["selection"]["order"]
    assert all(m["temperature"] != [1.0] for m in record["members"])
    assert result.fit.learned is not None
    table = pd.read_csv(tmp_path / "predictions_out_of_fold.csv")
    assert list(table.columns) == ["image_id", "label", "class", *CLASS_NAMES]
    assert list(table["image_id"]) == list(result.inputs.held_out.ids)
    right = result.held_out_board.ensemble.scores["accuracy"]
    assert (table["label"] == table["class"]).mean() == pytest.approx(right)
    soft = pd.read_csv(tmp_path / "soft_labels_out_of_fold.csv")
    assert list(soft.columns) == ["image_id", *CLASS_NAMES]
    assert len(soft) == 40
    np.testing.assert_allclose(soft[list(CLASS_NAMES)].sum(axis=1), 1.0, atol=1e-5)
    assert len(pd.read_csv(tmp_path / "soft_labels.csv")) == 37
    assert "after temperature scaling" in (tmp_path / "report.html").read_text()


def test_run_with_auto_weights_says_what_was_tried_and_what_is_used(world, tmp_path):
    config = world_config(world, tmp_path, weights="auto", metric="log_loss")
    result = pipeline.run(config)
    record = EnsembleRecord.load(str(tmp_path / "weights.json"))
    assert [tried.name for tried in record.tried] == ["uniform", "greedy", "stack"]
    (used,) = (tried for tried in record.tried if tried.used)
    uniform, greedy, stack = record.tried
    assert used.name == result.fit.learned.chosen.name
    assert uniform.gain is None and greedy.over == "uniform" and stack.gain is not None
    assert record.selection.order and record.selection.used == greedy.used
    assert set(stack.weights) == set(used.shares) == {one.name for one in record.networks}
    assert len(stack.offsets) == len(CLASS_NAMES) and greedy.weights is None
    assert sum(stack.shares.values()) == pytest.approx(1)
    assert used.shares == {network.name: network.weight for network in record.networks}
    page = (tmp_path / "report.html").read_text()
    assert f"<dt>weights</dt><dd>{used.name}</dd>" in page
    assert page.count("weights beyond chance: gain in log_loss") == 2
    said = [line for line in remarks(config, result) if " weights " in line]
    assert said[0].startswith("Greedy weights ") and said[1].startswith("Stack weights ")


def test_run_calibrated_compares_the_ensemble_with_calibrated_members(world, tmp_path):
    # One network in front of its own temperature: there is nothing that an ensemble could gain.
    config = world_config(
        world, tmp_path, members="ab", weights="1,0", calibrate=True, labels_csv=str(world[2])
    )
    result = pipeline.run(config)
    for board in (result.split_board, result.held_out_board):
        member, ensemble = board.entries[0], board.ensemble
        assert member.scores["log_loss"] == pytest.approx(ensemble.scores["log_loss"], abs=1e-4)
        assert board.where.endswith(", all calibrated")
    assert result.fit.combination.member_temperatures[0] != pytest.approx(1.0, abs=0.02)


def test_run_with_soft_labels_but_no_held_out_images_remarks_it(world, tmp_path):
    make_member(tmp_path / "m", world[1], seed=4, eval_split=None)
    config = dataclasses.replace(
        world_config(world, tmp_path / "out", soft_labels=True), members=(str(tmp_path / "m"),)
    )
    result = pipeline.run(config)
    assert (tmp_path / "out" / "soft_labels.csv").exists()
    assert not (tmp_path / "out" / "soft_labels_out_of_fold.csv").exists()
    said = remarks(config, result)
    assert "trained without an evaluation split" in said[0]
    assert said[1].startswith("No out-of-fold soft labels")
    assert "trained without an evaluation split" in (tmp_path / "out" / "report.html").read_text()


def test_run_again_overwrites_and_drops_what_it_does_not_make(world, tmp_path):
    pipeline.run(world_config(world, tmp_path, members="a", soft_labels=True, export=True))
    assert (tmp_path / "saved_model").is_dir()
    pipeline.run(world_config(world, tmp_path, members="a"))
    assert not (tmp_path / "saved_model").exists()
    assert not (tmp_path / "soft_labels.csv").exists()


def test_run_by_rank_is_scored_by_ranking_metrics_alone(world, tmp_path):
    result = pipeline.run(world_config(world, tmp_path, combine="rank", labels_csv=str(world[2])))
    assert set(result.split_board.ensemble.scores) == {"roc_auc", "average_precision"}
    assert result.split_board.metric == "roc_auc"
    assert result.caveats[0].startswith("Mean ranks order the images of a class")
    page = (tmp_path / "report.html").read_text()
    shown = page.split("<h2>Classes</h2>")[1].split("</table>")[0]
    precisions = [float(row.split('"number">')[3][:5]) for row in shown.split("<tr>")[2:]]
    expected = result.split_board.ensemble.scores["average_precision"]
    assert np.mean(precisions) == pytest.approx(expected, abs=1e-3)


def test_run_with_a_named_weights_split_fits_on_it(world, tmp_path):
    result = pipeline.run(world_config(world, tmp_path, calibrate=True, weights_split="fold0"))
    assert len(result.inputs.held_out.ids) == 40


@pytest.mark.parametrize("damaged", ["entry", "part"])
def test_run_with_a_damaged_logits_cache_says_to_delete_it(world, tmp_path, damaged):
    pipeline.run(world_config(world, tmp_path, members="a"))
    (entry,) = (tmp_path / "logits").glob("*.npz")
    if damaged == "part":
        entry.rename(tmp_path / "whole.npz")
        entry = tmp_path / "logits" / entry.stem / "part-000000000.npz"
        entry.parent.mkdir()
    entry.write_bytes(b"PK cut")
    with pytest.raises(OrchardError, match="delete it and run the command again") as caught:
        pipeline.run(world_config(world, tmp_path, members="a"))
    assert str(entry) in str(caught.value) and "\n" not in str(caught.value)
    entry.unlink()
    pipeline.run(world_config(world, tmp_path, members="a"))


def test_run_ignores_what_a_killed_write_left_in_the_cache(world, tmp_path):
    pipeline.run(world_config(world, tmp_path, members="a"))
    (entry,) = (tmp_path / "logits").glob("*.npz")
    entry.unlink()
    parts = tmp_path / "logits" / entry.stem
    parts.mkdir()
    (parts / "part-000000000.npz.77.tmp").write_bytes(b"PK cut")
    pipeline.run(world_config(world, tmp_path, members="a"))
    assert entry.exists() and not parts.exists()


def test_run_into_a_folder_that_another_writes_is_refused_and_changes_nothing(world, tmp_path):
    (tmp_path / "weights.json.77.tmp").touch()
    with storage.lock_folder(str(tmp_path), ""):
        with pytest.raises(OrchardError, match=f"{tmp_path} is being written by another process"):
            pipeline.run(world_config(world, tmp_path, members="a"))
    assert os.listdir(tmp_path) == [".lock"]


def test_run_of_folds_judges_them_apart_and_averages_them_on_the_test_split(tmp_path):
    dataset = tmp_path / "leaves" / "1.0.0"
    make_dataset(dataset, {"fold0": 30, "fold1": 31, "test": 9})
    for fold in range(2):
        for name, noise in (("good", 0.3), ("bad", 60.0)):
            make_member(
                tmp_path / name / f"fold{fold}",
                dataset,
                seed=fold,
                noise=noise,
                train_split=f"fold{1 - fold}",
                eval_split=f"fold{fold}",
            )
    config = EnsembleConfig(
        members=(str(tmp_path / "good"), str(tmp_path / "bad")),
        dataset=str(dataset),
        split="test",
        output_dir=str(tmp_path / "out"),
        weights="greedy",
        metric="log_loss",
        export=False,
    )
    result = pipeline.run(config)
    assert len(result.inputs.held_out.ids) == 61
    assert result.fit.learned.trusted
    assert result.fit.network_weights[0] > 0.8
    weights = result.fit.combination.weights
    assert weights[0] == weights[1] == result.fit.network_weights[0] / 2
    mean = np.tensordot(weights, result.logits, axes=1)
    np.testing.assert_allclose(result.probabilities, probabilities(mean, "single_label"), atol=1e-6)
    weights = f"good {result.fit.network_weights[0]:.3f}"
    assert remarks(config, result)[0].startswith(f"Greedy weights ({weights}")
    names = [entry.candidate.name for entry in result.held_out_board.entries]
    assert names == ["good", "bad", "ensemble"]


def test_run_of_many_labels_fits_thresholds_and_fills_a_submission(tmp_path):
    dataset = tmp_path / "leaves" / "1.0.0"
    truth = make_dataset(
        dataset, {"fold0": 60, "fold1": 8, "test": 20}, "multi_label", unlabeled=()
    )
    for seed in range(2):
        make_member(tmp_path / f"m{seed}", dataset, seed=seed, task="multi_label")
    sample = tmp_path / "sample.csv"
    sample.write_text(
        "image,labels\n" + "".join(f"test_{i:04d}.jpg,healthy\n" for i in reversed(range(18)))
    )
    config = EnsembleConfig(
        members=(str(tmp_path / "m0"), str(tmp_path / "m1")),
        dataset=str(dataset),
        split="test",
        output_dir=str(tmp_path / "out"),
        calibrate=True,
        thresholds="f1",
        sample_submission=str(sample),
        export=False,
    )
    result = pipeline.run(config)
    assert result.fit.combination.temperature.shape == (3,)
    assert result.thresholds.shape == (3,)
    assert result.left_out == 2
    rows = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert rows[0] == "image,labels"
    assert [row.split(",")[0] for row in rows[1:3]] == ["test_0017.jpg", "test_0016.jpg"]
    assert set(" ".join(row.split(",")[1] for row in rows[1:]).split()) <= set(CLASS_NAMES)
    np.testing.assert_array_equal(result.split_board.targets.argmax(1), truth["test"].argmax(1))
    assert "2 predicted images are not in" in (tmp_path / "out" / "report.html").read_text()


def test_run_with_views_that_training_never_drew_is_refused(world, tmp_path):
    config = world_config(world, tmp_path / "out", members="ac", tta="d4")
    with pytest.raises(OrchardError, match="--tta=mirror, or --tta=auto, or --tta_unseen_views"):
        pipeline.run(config)
    assert not (tmp_path / "out").exists()
    result = pipeline.run(dataclasses.replace(config, tta_unseen_views=True))
    assert result.caveats[0].startswith("Some test-time views (d4) were never drawn in training")
    assert result.caveats[1].startswith("Scores on held-out images are those of images as they are")


def test_run_with_views_fits_temperatures_on_the_views_of_held_out_images(world, tmp_path):
    result = pipeline.run(world_config(world, tmp_path, members="a", tta="mirror", calibrate=True))
    whole = pipeline.run(world_config(world, tmp_path, members="a", tta="mirror", split="fold0"))
    at = np.argsort(whole.inputs.records.ids)
    np.testing.assert_allclose(result.inputs.held_out.logits[0], whole.logits[0][at], atol=1e-6)
    alone = pipeline.run(world_config(world, tmp_path, members="a", calibrate=True))
    assert np.abs(result.inputs.held_out.logits[0] - alone.inputs.held_out.logits[0]).max() > 1e-3
    assert result.caveats == []


def test_run_with_views_of_another_dataset_finds_held_out_images_where_members_were_trained(
    world, tmp_path
):
    make_dataset(tmp_path / "new" / "1.0.0", {"test": 9}, seed=5)
    config = world_config(world, tmp_path, dataset=str(tmp_path / "new" / "1.0.0"), tta="mirror")
    config = dataclasses.replace(config, calibrate=True, allow_other_dataset=True)
    assert len(pipeline.run(config).inputs.held_out.ids) == 40


def test_run_with_auto_views_takes_what_held_out_images_confirm(world, tmp_path):
    config = world_config(world, tmp_path, members="abc", tta="auto", metric="log_loss")
    result = pipeline.run(config)
    views, note = result.inputs.views, result.inputs.views.note
    assert views.tta in ("none", "mirror")
    assert ("do not help" in note) == (views.tta == "none") and "held-out images)" in note
    assert note in remarks(config, result)
    record = EnsembleRecord.load(str(tmp_path / "weights.json"))
    assert record.tta == views.tta
    assert record.tta_auto == AutoViews("mirror", views.tta == "mirror", note)


def test_run_with_auto_views_of_networks_without_flips_takes_none(world, tmp_path):
    make_member(tmp_path / "m", world[1], seed=4, augment={"flips": "none"})
    config = world_config(world, tmp_path / "out", tta="auto")
    result = pipeline.run(dataclasses.replace(config, members=(str(tmp_path / "m"),)))
    assert result.inputs.views.tta == "none"
    record = EnsembleRecord.load(str(tmp_path / "out" / "weights.json"))
    assert (record.tta_auto.tried, record.tta_auto.accepted) == ("none", False)
    assert "drew no views in common" in result.inputs.views.note
