import dataclasses
import re

import numpy as np
import pytest

from orchard.errors import OrchardError
from orchard.formats import RunRecord
from tests.trainer import runs
from trainer.checkpoints import files
from trainer.config import Change
from trainer.loop import train_and_evaluate
from trainer.training.longer import asks_for_more
from trainer.training.progress import read_metrics


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ([], False),
        ([Change("epochs", 2, 4)], True),
        ([Change("epochs", 4, 2)], False),
        ([Change("min_steps", 0, 9), Change("max_epochs", 0, 5)], True),
        ([Change("epochs", 2, 4), Change("seed", 0, 1)], False),
    ],
)
def test_asks_for_more_is_the_length_alone_and_raised(changes, more):
    assert asks_for_more(changes) is more


def test_finished_run_of_more_epochs_ends_as_if_it_had_begun_with_them(
    tmp_path, tiny_dataset, tiny_backbone, capsys
):
    flags = {"schedule": "article", "hold_epochs": 1.0, "warmup_epochs": 1.0}
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run", epochs=2, **flags)
    assert train_and_evaluate(config) == 0
    longer = dataclasses.replace(config, epochs=4)
    capsys.readouterr()
    assert train_and_evaluate(longer) == 0
    printed = capsys.readouterr().out
    assert "going on after step 9 of 18 (epoch 2 of 4)\n" in printed
    assert "it was to end after 9 steps: --schedule=article goes on at a " in printed
    at_once = dataclasses.replace(longer, run_dir=str(tmp_path / "at_once"))
    assert train_and_evaluate(at_once) == 0
    ours, theirs = (files.load_latest_checkpoint(each.run_dir) for each in (longer, at_once))
    assert ours.step == theirs.step == 18
    for name, array in theirs.arrays.items():
        np.testing.assert_allclose(ours.arrays[name], array, atol=1e-3, err_msg=name)
    rates = [
        {line["step"]: line["learning_rate"] for line in read_metrics(c.run_dir) if "loss" in line}
        for c in (longer, at_once)
    ]
    assert rates[0] == rates[1]
    assert RunRecord.load(f"{config.run_dir}/run.json").config["epochs"] == 4
    assert train_and_evaluate(longer) == 0
    assert "finished already" in capsys.readouterr().out


def test_finished_run_of_a_schedule_that_ended_names_a_way_that_works(
    tmp_path, tiny_dataset, tiny_backbone
):
    import keras

    config = runs.config(
        tiny_dataset, tiny_backbone, tmp_path / "run", epochs=1, eval_every_epochs=1
    )
    assert train_and_evaluate(config) == 0
    with pytest.raises(
        OrchardError, match="--epochs was 1.0, now 2.0; --schedule=cosine"
    ) as caught:
        train_and_evaluate(dataclasses.replace(config, epochs=2))
    weights = re.search(r"--weights=(\S+) --run_dir=NEW", str(caught.value))[1]
    following = dataclasses.replace(
        config, weights=weights, run_dir=str(tmp_path / "new"), learning_rate=1e-9
    )
    assert train_and_evaluate(following) == 0
    ours, theirs = (
        keras.models.load_model(f"{each.run_dir}/model.keras").get_weights()
        for each in (following, config)
    )
    kernels = [at for at, array in enumerate(theirs) if array.ndim > 1]  # Statistics move on.
    assert kernels
    for at in kernels:
        np.testing.assert_allclose(ours[at], theirs[at], atol=1e-5)


def test_run_that_stopped_early_is_not_given_more_epochs(tmp_path, tiny_dataset, tiny_backbone):
    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path / "run",
        learning_rate=1e-9,
        schedule="constant",
        eval_every_epochs=0.25,
        early_stopping_evals=1,
        epochs=40,
    )
    assert train_and_evaluate(config) == 0
    with pytest.raises(OrchardError, match=r"it ended at step \d+ of 180 by --early_stopping"):
        train_and_evaluate(dataclasses.replace(config, epochs=50))
