import pytest

from tests.trainer import runs
from trainer.refit import found_epochs, refit_config


def _config(**changes):
    return runs.config("d", "mobilenet_v2", "runs/cv", fold="all", refit=3, **changes)


@pytest.mark.parametrize(
    ("exported", "epochs"),
    [
        ([4.0, 4.0, 4.0], 4.0),
        ([1.0, 9.0, 3.0], 3.0),
        ([2.0, 3.0], 2.5),
        ([417 / 41.67] * 3, 10.0),  # Ten epochs, which are no whole number of steps.
    ],
)
def test_found_epochs_are_the_median_of_the_folds(exported, epochs):
    assert found_epochs(_config(), exported) == epochs


def test_found_epochs_where_heads_alone_were_best_reach_the_whole_network():
    config = _config(weights="imagenet", freeze_epochs=2.0, epochs=8, eval_every_epochs=0.5)
    assert found_epochs(config, [1.0, 2.0, 3.0]) == 2.5
    assert found_epochs(config, [1.0, 4.0, 3.0]) == 3.0


def test_refit_config_is_of_all_folds_and_a_seed_of_its_own():
    made = refit_config(_config(seed=2**32 - 1), 1, 6.5)
    assert (made.fold, made.refit, made.epochs, made.seed) == ("none", 0, 6.5, 0)
    assert made.run_dir == "runs/cv/refit1"


def test_refit_config_of_folds_that_steps_made_longer_has_their_epochs():
    made = refit_config(_config(epochs=2, min_steps=600, max_epochs=40), 0, 31.4)
    assert (made.epochs, made.total_steps(10.0)) == (31.4, 314)
