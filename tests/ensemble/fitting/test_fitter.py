import numpy as np
import pytest

from ensemble.combine import COMBINERS, fit_temperature
from ensemble.fitting.fitter import fit_combination, is_learned, parse_weights
from ensemble.fitting.held_out import HeldOut
from ensemble.fitting.trials import weighting_names
from ensemble.members.runs import FoldGroup
from orchard.errors import OrchardError
from orchard.formats import Task
from trainer.evaluation import METRICS, probabilities

TASK = "single_label"
NETWORKS = (FoldGroup("a", (0, 1)), FoldGroup("b", (2,)))


def _targets(rows, generator, classes=3):
    return np.eye(classes, dtype=np.float32)[generator.integers(classes, size=rows)]


def _held_out(noises, rows=240, scale=1.0, task=TASK):
    """One member a network, all on the same rows."""
    generator = np.random.default_rng(0)
    targets = _targets(rows, generator)
    if task == "multi_label":
        targets = (generator.random(targets.shape) < 0.4).astype(np.float32)
    logits = [
        scale * (3 * targets - 1.5 + generator.normal(size=targets.shape) * noise)
        for noise in noises
    ]
    networks = tuple(FoldGroup(f"n{at}", (at,)) for at in range(len(noises)))
    everything = np.arange(rows)
    held_out = HeldOut(
        everything.astype(str), targets, (everything,) * len(noises), tuple(logits), networks
    )
    return np.stack(logits).astype(np.float32), networks, held_out


def _fit(logits, networks, held_out, **overrides):
    overrides["combiner"] = COMBINERS[overrides.pop("method", "logits")](
        overrides.pop("task", TASK)
    )
    values = {
        "weights": None,
        "weightings": ("uniform", "greedy"),
        "calibrate": False,
        "metric": "log_loss",
    }
    return fit_combination(logits, networks, held_out, **{**values, **overrides})


def test_fit_combination_of_folds_shares_their_networks_weight():
    logits = np.zeros((3, 2, 3), np.float32)
    fit = _fit(logits, NETWORKS, None, weights=np.array([0.6, 0.4]))
    np.testing.assert_allclose(fit.combination.weights, [0.3, 0.3, 0.4])


def test_parse_weights_takes_multipliers_of_networks():
    np.testing.assert_allclose(parse_weights("2,1", NETWORKS), [2 / 3, 1 / 3])
    np.testing.assert_allclose(parse_weights("uniform", NETWORKS), [0.5, 0.5])
    for text in ("greedy", "stack", "stack_nonnegative", "auto"):
        assert parse_weights(text, NETWORKS) is None and is_learned(text)
    assert not is_learned("uniform") and not is_learned("2,1")
    for text in ("1", "1,1,1", "0,0", "1,nan", "1,inf", "-1,2", "a,b", ""):
        with pytest.raises(OrchardError, match="--weights="):
            parse_weights(text, NETWORKS)


def test_fit_combination_with_a_sure_gain_uses_learned_weights():
    fitted = _fit(*_held_out([0.5, 20.0, 20.0]))
    assert fitted.learned.trusted
    np.testing.assert_allclose(fitted.network_weights, fitted.learned.weights.shares)
    assert fitted.network_weights[0] > 0.9


def test_fit_combination_with_a_gain_by_chance_uses_uniform_weights():
    fitted = _fit(*_held_out([1.5, 1.5, 1.5], rows=60), metric="accuracy")
    assert not fitted.learned.trusted
    np.testing.assert_allclose(fitted.network_weights, 1 / 3)


def test_fit_combination_with_too_few_rows_to_learn_from_is_refused():
    with pytest.raises(OrchardError, match="12 held-out images, fewer than 20"):
        _fit(*_held_out([1.0, 2.0], rows=12))


@pytest.mark.parametrize("positives", [0, 1])
def test_fit_combination_for_a_metric_without_a_value_is_refused(positives):
    logits, networks, held_out = _held_out([1.0, 2.0], rows=40)
    held_out.targets[:] = np.eye(3)[0]
    held_out.targets[:positives] = np.eye(3)[1]  # one: the guard leaves it out once
    rows = "40" if positives == 0 else "32"
    with pytest.raises(OrchardError, match=f"roc_auc has no value on {rows} of the 40") as caught:
        _fit(logits, networks, held_out, metric="roc_auc")
    assert "use --weights=uniform or another --metric" in str(caught.value)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("method", ["logits", "probabilities", "geometric"])
def test_fit_combination_with_calibration_improves_the_held_out_log_loss(method, task):
    logits, networks, held_out = _held_out([2.0, 2.5], scale=3.0, task=task)
    settings = {"weights": np.array([0.5, 0.5]), "method": method, "task": task}
    plain = _fit(logits, networks, held_out, **settings)
    calibrated = _fit(logits, networks, held_out, **settings, calibrate=True)
    temperatures = calibrated.combination.member_temperatures
    assert temperatures.shape == (2, 1 if task == TASK else 3)
    assert (temperatures > 1.5).all()

    def loss(fitted):
        p = fitted.combination(logits)
        np.testing.assert_allclose(p, fitted.out_of_fold.probabilities, atol=1e-6)
        np.testing.assert_allclose(fitted.uncalibrated(logits), plain.combination(logits))
        np.testing.assert_allclose(fitted.out_of_fold.uncalibrated, plain.out_of_fold.probabilities)
        odds = np.log(p) if task == TASK else np.log(p / (1 - p))
        return METRICS["log_loss"]().score(odds, held_out.targets, task)

    assert loss(calibrated) < loss(plain) - 0.01


def test_fit_combination_of_vouched_members_takes_one_temperature_of_all_their_rows():
    logits, _, held_out = _held_out([2.0, 2.0], rows=60)
    parts = (np.arange(0, 20), np.arange(20, 60))
    folds = HeldOut(
        held_out.ids,
        held_out.targets,
        parts,
        (3 * held_out.logits[0][parts[0]], 0.5 * held_out.logits[0][parts[1]]),
        (FoldGroup("a", (0, 1)),),
    )
    fitted = _fit(
        logits[:1],
        (FoldGroup("a", (0,)),),
        folds,
        weights=np.ones(1),
        calibrate=True,
        vouched_by=((0, 1),),
    )
    whole = fit_temperature(np.concatenate(folds.logits), folds.targets, TASK)
    np.testing.assert_array_equal(fitted.combination.member_temperatures, [whole])
    assert len(fitted.out_of_fold.probabilities) == 60


def test_fit_combination_by_rank_refers_to_the_rows_to_predict():
    logits, networks, held_out = _held_out([1.0, 1.0])
    shifted = logits[:, :50] + np.float32(7.0)
    fitted = _fit(shifted, networks, held_out, weights=np.array([1.0, 0.0]), method="rank")
    ranks = fitted.combination(shifted)
    assert ranks.min() == 0.0 and ranks.max() == 1.0
    assert fitted.combination.combiners[0].reference.values.shape == (50, 3)


@pytest.mark.parametrize("wanted", [{"weights": None}, {"calibrate": True}])
def test_fit_combination_without_held_out_rows_learns_nothing(wanted):
    logits, networks, _ = _held_out([1.0, 1.0])
    with pytest.raises(ValueError, match="learned on held-out rows"):
        _fit(logits, networks, None, **{"weights": np.array([0.5, 0.5]), **wanted})


def test_fit_combination_of_given_weights_needs_no_held_out_rows():
    logits, networks, _ = _held_out([1.0, 1.0])
    fitted = _fit(logits, networks, None, weights=np.array([0.5, 0.5]))
    assert fitted.out_of_fold is None
    np.testing.assert_allclose(
        fitted.combination(logits), probabilities(logits.mean(axis=0), TASK), atol=1e-6
    )


def test_weighting_names_are_the_simplest_first_and_those_that_go_with_the_combiner():
    assert weighting_names("auto", "logits") == ("uniform", "greedy", "stack")
    assert weighting_names("auto", "probabilities") == ("uniform", "greedy")
    assert weighting_names("stack", "logits") == ("uniform", "stack")
    assert weighting_names("uniform", "rank") == ("uniform",)
    assert weighting_names("2,1", "logits") == ()
    with pytest.raises(OrchardError, match="use --combine=logits, or other weights"):
        weighting_names("stack", "probabilities")


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("calibrate", [False, True])
def test_fit_combination_by_stack_predicts_the_held_out_rows_as_the_members_do(task, calibrate):
    logits, networks, held_out = _held_out([0.5, 3.0, 9.0], scale=2.0, task=task)
    fitted = _fit(
        logits,
        networks,
        held_out,
        task=task,
        weightings=("uniform", "stack"),
        calibrate=calibrate,
    )
    assert fitted.learned.trusted or calibrate  # Temperatures leave less to gain.
    out = fitted.out_of_fold
    np.testing.assert_allclose(fitted.combination(logits), out.probabilities, atol=1e-6)
    np.testing.assert_allclose(fitted.uncalibrated(logits), out.uncalibrated, atol=1e-6)
    np.testing.assert_allclose(out.reweighed(fitted.network_weights), out.probabilities)
    assert fitted.network_weights.sum() == pytest.approx(1)
    assert fitted.network_weights[0] >= fitted.network_weights[1]


def test_fit_combination_by_auto_takes_the_simplest_that_nothing_beats():
    names = weighting_names("auto", "logits")
    equal = _fit(*_held_out([1.5, 1.5, 1.5], rows=60), metric="accuracy", weightings=names)
    assert equal.learned.chosen.name == "uniform" and not equal.learned.trusted
    # One good network among bad ones: picks do it, and what stack adds to them is small.
    picked = _fit(*_held_out([0.7, 30.0, 30.0], scale=1.5), metric="accuracy", weightings=names)
    assert picked.learned.chosen.name == "greedy"
    assert [trial.over for trial in picked.learned.trials] == ["", "uniform", "greedy"]
    # All overconfident: no shares of theirs help, a smaller sum of weights does.
    unsure = _fit(*_held_out([4.0, 4.1, 4.2], scale=4.0), metric="log_loss", weightings=names)
    assert unsure.learned.chosen.name == "stack"
    assert unsure.learned.chosen.weights.combiners[0].scales.max() < 0.5
