"""Soups of real trainings, seconds long: what is averaged, what is refused, what is left."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from ensemble.members import load_members
from ensemble.souping import Recipe, find_ingredients, make_soup
from ensemble.souping.mixing import greedy
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import RunDir, RunRecord, load_logits
from tests.trainer import runs
from trainer.config import TrainConfig
from trainer.data import load_records
from trainer.evaluation import evaluate
from trainer.keras_module import keras
from trainer.loop import train_and_evaluate
from trainer.models import batch_norm
from trainer.results import export
from trainer.runtime import Accelerator
from trainer.training import Feed, Splits, make_plan


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Runs a and b of one start, whose last two evaluations are kept."""
    root = tmp_path_factory.mktemp("soup")
    dataset = runs.tiny_dataset(root / "tiny" / "1.0.0")
    backbone = runs.tiny_backbone(root / "tiny.keras", dropout=0.0)
    for seed, name in enumerate("ab"):
        config = runs.config(
            dataset,
            backbone,
            root / name,
            weights="auto",
            seed=seed,
            keep_best=2,
            best_metric="last",
        )
        assert train_and_evaluate(config) == 0
    return root


def _weights(run_dir):
    return export.load_network(RunDir(str(run_dir))).get_weights()


def _changed(world, tmp_path, name, **changes):
    """A copy of a run with another run.json."""
    shutil.copytree(world / name, tmp_path / name, dirs_exist_ok=True)
    path = str(tmp_path / name / "run.json")
    dataclasses.replace(RunRecord.load(path), **changes).save(path)
    return str(tmp_path / name)


def test_soup_of_two_runs_is_their_mean_with_statistics_of_its_own(world, tmp_path):
    paths = [str(world / "a"), str(world / "b")]
    soup = make_soup(find_ingredients(paths), str(tmp_path / "soup"), recipe=Recipe.UNIFORM)
    network = export.load_network(RunDir(str(tmp_path / "soup")))
    plain = [np.mean(part, axis=0) for part in zip(*map(_weights, paths), strict=True)]
    moments = {
        id(variable)
        for layer in batch_norm.layers_of(network)
        for variable in (layer.moving_mean, layer.moving_variance)
    }
    for variable, mean in zip(network.weights, plain, strict=True):
        if id(variable) not in moments:
            np.testing.assert_allclose(variable.numpy(), mean, rtol=1e-6, atol=1e-7)

    # The first BatchNorm's moments, computed from all of the images that they are estimated from.
    images = _moment_images(soup.record)
    backbone = network.get_layer("backbone")
    first = next(one for one in backbone.layers if isinstance(one, keras.layers.BatchNormalization))
    convolution = next(one for one in backbone.layers if isinstance(one, keras.layers.Conv2D))
    before = keras.Model(backbone.inputs, convolution.output).predict(images, verbose=0)
    np.testing.assert_allclose(first.moving_mean, before.mean((0, 1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(first.moving_variance, before.var((0, 1, 2)), rtol=1e-3)

    assert soup.record.soup.recipe == "uniform" and soup.verdict is None  # 18 images are few.
    assert [one.used for one in soup.record.soup.ingredients] == [True, True]
    assert "too few images to say more" in soup.record.soup.note


def test_soup_is_a_run_that_can_be_a_member_and_gives_its_own_logits(world, tmp_path):
    paths = [str(world / "a"), str(world / "b")]
    make_soup(find_ingredients(paths), str(tmp_path / "soup"), metric="log_loss")
    (member,) = load_members([str(tmp_path / "soup")]).members
    assert member.eval_split == "fold0" and member.train_split == "fold1+fold2"
    record = RunRecord.load(str(tmp_path / "soup" / "run.json"))
    saved = load_logits(str(tmp_path / "soup" / "eval_logits" / "fold0.npz"))
    assert evaluate(saved.logits, saved.targets, record.task) == record.scores
    images = _images(str(world / "tiny" / "1.0.0"), "fold0")
    model = tf.saved_model.load(member.saved_model_dir)
    found = model.signatures["images"](images=tf.cast(images, tf.uint8))["logits"]
    np.testing.assert_allclose(found, saved.logits, atol=1e-4)
    ours = {name: RunRecord.load(f"{world}/{name}/run.json") for name in "ab"}
    assert record.cost.train_images == sum(one.cost.train_images for one in ours.values())
    assert record.start_fingerprint == ours["a"].start_fingerprint
    used = [one for one in record.soup.ingredients if one.used]
    assert record.scores["log_loss"] <= min(one.score for one in record.soup.ingredients) + 1e-9
    page = (tmp_path / "soup" / "report.html").read_text()
    assert "Ingredients" in page and f"{len(used)} of 2, greedy" in page
    # Again: a soup may be made anew, a training may not be overwritten.
    make_soup(find_ingredients(paths), str(tmp_path / "soup"), recipe=Recipe.UNIFORM)
    with pytest.raises(OrchardError, match="holds a training; give a folder of its own"):
        make_soup(find_ingredients(paths), str(world / "a"))


def test_soup_of_the_checkpoints_of_one_run_is_their_mean(world, tmp_path):
    pantry = find_ingredients([str(world / "a")], checkpoints=2)
    assert [one.step for one in pantry.ingredients] == [9, 18]
    make_soup(pantry, str(tmp_path / "soup"), recipe=Recipe.UNIFORM)
    mean = _weights(tmp_path / "soup")
    arrays = [np.load(f"{world}/a/checkpoints/best-{step:09d}.npz") for step in (9, 18)]
    head = len(mean) - 2  # Kernel and bias of the head come last.
    for at in (head, head + 1):
        expected = np.mean([one[f"weight/{at:05d}"] for one in arrays], axis=0)
        np.testing.assert_allclose(mean[at], expected, rtol=1e-6, atol=1e-7)
    with pytest.raises(OrchardError, match="kept the weights of 2 evaluations, fewer than"):
        find_ingredients([str(world / "a")], checkpoints=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_fingerprint": ""}, "does not say which weights it started from"),
        ({"start_fingerprint": "ab" * 32}, "started from different weights"),
        ({"architecture": "other"}, "differ in architecture"),
        ({"eval_split": "fold1", "train_split": "fold0+fold2"}, "no held-out images in common"),
    ],
)
def test_soup_of_runs_whose_weights_have_no_mean_is_refused(changes, message, world, tmp_path):
    other = _changed(world, tmp_path, "b", **changes)
    with pytest.raises(OrchardError, match=message):
        find_ingredients([str(world / "a"), other])


def test_soup_of_one_run_or_judged_on_its_training_images_is_refused(world):
    with pytest.raises(OrchardError, match="a mean needs more than the weights of one run"):
        find_ingredients([str(world / "a")])
    with pytest.raises(OrchardError, match="was trained on fold1, so a mean cannot be judged"):
        find_ingredients([str(world / "a"), str(world / "b")], eval_split="fold1")


def test_soup_without_held_out_images_is_uniform_and_says_that_nothing_vouches(world, tmp_path):
    changes = {"eval_split": None, "train_split": "fold0+fold1+fold2", "scores": {}}
    paths = [_changed(world, tmp_path, name, **changes) for name in "ab"]
    pantry = find_ingredients(paths)
    with pytest.raises(OrchardError, match="greedy chooses by held-out images, and the members"):
        make_soup(pantry, str(tmp_path / "soup"))
    with storage.lock_folder(str(tmp_path / "soup"), ""):
        with pytest.raises(OrchardError, match="is being written by another process"):
            make_soup(pantry, str(tmp_path / "soup"), recipe=Recipe.UNIFORM)
    assert os.listdir(tmp_path / "soup") == [".lock"]
    soup = make_soup(pantry, str(tmp_path / "soup"), recipe=Recipe.UNIFORM)
    assert soup.record.eval_split is None and soup.record.scores == {}
    assert "no held-out images say whether it is better" in soup.record.soup.note


def test_greedy_recipe_adds_what_does_not_harm_and_nothing_else():
    values = {(0,): 0.7, (1,): 0.9, (2,): 0.8, (1, 2): 0.9, (0, 1, 2): 0.85}
    asked = []

    def score_of(chosen, rows):
        asked.append(chosen)
        return values[chosen]

    assert greedy(3, score_of, np.arange(2)) == (1, 2)
    assert asked[3:] == [(1, 2), (0, 1, 2)]


def _moment_images(record):
    """Float32: the training images that statistics are estimated from."""
    config = TrainConfig.from_json(record.config)
    records = load_records(config.dataset, record.train_split)
    accelerator = Accelerator("cpu", tf.distribute.get_strategy())
    plan = make_plan(config, Splits(record.train_split, "fold0"), len(records), 1)
    batches = Feed(config, accelerator, plan, records).moment_batches()
    return np.concatenate([batch["image"].numpy() for batch in batches]).astype(np.float32)


def _images(dataset, split):
    """Float32 [records, 16, 16, 3] in the records' order."""
    from tests.ensemble.builders import read_jpeg
    from trainer.data.decode import decode_image

    records = load_records(dataset, split)
    return np.stack(
        [
            decode_image(read_jpeg(records, row), 16, 16, "squash", False).numpy()
            for row in range(len(records))
        ]
    ).astype(np.float32)
