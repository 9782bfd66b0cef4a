import dataclasses
import os
import time

import pytest

from orchard import storage
from orchard.errors import OrchardError
from tests.records import training_meta
from tests.trainer import runs
from trainer.budget import (
    Budget,
    Speed,
    divide,
    enough_steps,
    parse_budget,
    within_budget,
)
from trainer.loop import train_and_evaluate
from trainer.saved_config import SavedConfig


@pytest.fixture
def config(tmp_path, tiny_dataset):
    """Of three folds with 18 records each."""
    return runs.config(
        tiny_dataset, "mobilenet_v2", tmp_path / "cv", epochs=10.0, fold="all", image_size="32"
    )


def _no_training(config, started):
    raise AssertionError("a budget of steps needs no rehearsal")


def _rehearsal(config, started):
    """Trains nothing, and logs 4 images a second and an evaluation of half a second."""
    del started
    resolved = dataclasses.replace(
        training_meta(0).resolved, batch_size=8, train_split="fold1+fold2"
    )
    SavedConfig(config, resolved).save()
    lines = """{"kind": "train", "step": 10, "images_per_second": 4.0}
{"kind": "eval", "step": 40, "seconds": 0.5}
"""
    storage.write_bytes(os.path.join(config.run_dir, "metrics.jsonl"), lines.encode())
    return 0


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("6000steps", Budget(steps=6000)),
        ("2h", Budget(seconds=7200)),
        ("1.5m", Budget(seconds=90)),
        ("45s", Budget(seconds=45)),
    ],
)
def test_parse_budget_is_steps_or_a_time(text, budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["2", "2 hours", "0h", "1.5steps", "-2h", "h", "1e3steps"])
def test_parse_budget_of_anything_else_is_refused_with_examples(text):
    with pytest.raises(OrchardError, match=f"--budget={text}: give a time or steps, such as 90m"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("steps", "refits"), [(9000, (3, 2)), (9000, (5,)), (700, (3, 2, 1, 0)), (301, (2,))]
)
def test_divide_steps_are_spent_and_not_exceeded(steps, refits):
    division = divide(f"{steps}steps", num_folds=3, refits=refits, enough_steps=300)
    spent = 3 * division.steps + division.refits * division.refit_steps
    assert steps - 8 <= spent <= steps + division.refits  # Whole steps a training.


def test_divide_small_budget_has_fewer_networks_on_all_rows_rather_than_short_ones():
    counts = [
        divide(f"{steps}steps", num_folds=3, refits=(3, 2, 1, 0), enough_steps=300).refits
        for steps in (600, 901, 5000)
    ]
    assert counts == [0, 1, 3]


def test_divide_of_a_single_training_gives_it_everything():
    assert divide("777steps", num_folds=0, refits=(0,)).steps == 777


def test_divide_without_folds_shares_among_networks_on_all_rows():
    division = divide("900steps", num_folds=0, refits=(3,))
    assert (division.folds, division.refits, division.steps) == (0, 3, 300)
    assert str(division) == "--budget=900steps: 3 on all rows, of 300 steps"


def test_divide_time_pays_for_steps_and_for_what_is_beside_them():
    speed = Speed(step_seconds=0.5, run_seconds=30)
    division = divide("1h", num_folds=5, refits=(2,), speed=speed, spent_seconds=100)
    seconds = 7 * 30 + 0.5 * (5 * division.steps + 2 * division.refit_steps)
    assert 3600 - 100 - 5 <= seconds <= 3600 - 100 + 1


def test_divide_too_little_is_refused_with_what_is_left():
    with pytest.raises(OrchardError, match="100steps leaves 33 steps for each of 3 trainings"):
        divide("100steps", num_folds=3, refits=(0,))
    with pytest.raises(OrchardError, match="leaves 0 steps for each of 1 training, fewer"):
        divide("1m", num_folds=0, refits=(0,), speed=Speed(0.1, 70))


def test_within_budget_of_steps_sets_length_and_refits(config, capsys):
    made = within_budget(
        dataclasses.replace(config, weights="imagenet", budget="3000steps"), 0.0, _no_training
    )
    assert (made.budget, made.refit, made.min_steps) == ("", 3, 400)
    assert made.total_steps(steps_per_epoch=4.5) == 400
    assert "3000steps: 3 folds of 400 steps, then 3 on all rows, of about 600" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("flags", "refits", "steps"),
    [
        ({"fold": "none", "weights": "imagenet"}, 3, 300),
        ({"fold": "none", "weights": "none"}, 0, 900),
        ({"fold": "none", "weights": "none", "refit": 2}, 2, 450),
        ({"fold": "0", "weights": "imagenet"}, 0, 900),
    ],
)
def test_within_budget_networks_on_all_rows_are_as_many_as_are_worth_it(
    config, flags, refits, steps
):
    config = dataclasses.replace(config, budget="900steps", **flags)
    made = within_budget(config, time.monotonic(), _no_training)
    assert (made.refit, made.min_steps) == (refits, steps)


@pytest.mark.parametrize(
    ("weights", "rows", "steps"),
    [("imagenet", 10**6, 300), ("none", 600, 3000), ("none", 10_000, 9375)],
)
def test_enough_steps_from_scratch_are_epochs_of_many_rows(config, weights, rows, steps):
    config = dataclasses.replace(config, weights=weights, batch_size=32)
    assert enough_steps(config, rows) == steps


def test_within_budget_of_time_rehearses_once(config):
    config = dataclasses.replace(
        config, budget="1h", weights="imagenet", eval_every_epochs=1.0, num_evals=5
    )
    made = within_budget(config, time.monotonic(), _rehearsal)
    # A step of 8 images at 4 a second; four evaluations more than the rehearsal had.
    assert made.min_steps == pytest.approx((3600 - 6 * 2.0) / 2 / (3 + 3 * 1.5), abs=3)
    assert not storage.exists(os.path.join(config.run_dir, "rehearsal"))
    assert within_budget(config, time.monotonic(), _no_training) == made


def test_within_budget_another_one_is_refused(config):
    within_budget(dataclasses.replace(config, budget="900steps"), 0.0, _no_training)
    with pytest.raises(OrchardError, match="begun with --budget=900steps, now it is 901steps"):
        within_budget(dataclasses.replace(config, budget="901steps"), 0.0, _no_training)


def test_within_budget_of_time_on_several_machines_is_refused(config, monkeypatch):
    cluster = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", cluster)
    with pytest.raises(OrchardError, match="give the steps"):
        within_budget(dataclasses.replace(config, budget="1h"), 0.0, _no_training)


def test_within_budget_of_time_measures_a_real_training(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset, tiny_backbone, tmp_path / "run", epochs=10.0, fold="0", budget="10m"
    )
    made = within_budget(config, time.monotonic())
    assert made.min_steps > 100
    assert os.listdir(config.run_dir) == ["budget.json"]


def test_train_and_evaluate_undivided_budget_is_refused(config):
    with pytest.raises(OrchardError, match="--budget=1h is divided before a training begins"):
        train_and_evaluate(dataclasses.replace(config, fold="0", budget="1h"))
