"""examples/optuna_search.py: pruned, killed and complete trials of a tiny network."""

import os

import pytest

from orchard.errors import OrchardError
from tests.trainer import runs

optuna = pytest.importorskip("optuna")
search = pytest.importorskip("examples.optuna_search")


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def base(tiny_dataset, tiny_backbone, output_dir):
    return runs.config(
        tiny_dataset, tiny_backbone, output_dir, epochs=2, eval_every_epochs=1, best_metric="last"
    )


@pytest.fixture(scope="module")
def study(base, output_dir):
    """Trial 0 was pruned, trial 1 killed; trial 2 went on with what trial 1 had begun."""
    nothing_is_good = optuna.pruners.ThresholdPruner(upper=0)
    first = search.search(base, output_dir, 1, nothing_is_good)
    search.settings(first.ask(), base, output_dir)  # All that a killed process leaves.
    return search.search(base, output_dir, 2, optuna.pruners.NopPruner())


def test_search_prunes_a_trial_at_its_first_evaluation(study, output_dir):
    pruned = study.trials[0]
    assert pruned.state == optuna.trial.TrialState.PRUNED
    assert list(pruned.intermediate_values) == [4]
    assert not (output_dir / "trial0000" / "run.json").exists()


def test_search_goes_on_with_a_trial_that_was_killed(study, output_dir):
    _, killed, again = study.trials
    assert killed.state == optuna.trial.TrialState.FAIL
    assert again.params == killed.params and again.user_attrs == {"training": 1}
    assert again.state == optuna.trial.TrialState.COMPLETE
    assert again.value == pytest.approx(list(again.intermediate_values.values())[-1])
    names = sorted(name for name in os.listdir(output_dir) if name.startswith("trial"))
    assert names == ["trial0000", "trial0001"]


def test_search_of_enough_trials_trains_nothing_more(study, base, output_dir):
    assert len(search.search(base, output_dir, 2).trials) == 3


def test_search_draws_other_settings_in_each_call(study):
    first, second, _ = study.trials
    assert first.params["learning_rate"] != second.params["learning_rate"]


def test_search_that_runs_already_is_refused(base, tmp_path):
    import fcntl

    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OrchardError, match="another search runs"):
            search.search(base, tmp_path, 1)
