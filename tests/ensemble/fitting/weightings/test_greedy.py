import numpy as np
import pytest

from ensemble.combine import COMBINERS
from ensemble.fitting.weightings import WEIGHTINGS, Sample, greedy_selection
from orchard.formats import Task
from tests.ensemble.fitting.networks import TASK, noisy_networks, regret_of


def test_greedy_selection_of_one_network_picks_it_once():
    p, targets = noisy_networks([1.0])
    selection = greedy_selection(p, regret_of("log_loss", targets))
    assert selection.order == (0,)
    assert selection.weights.tolist() == [1.0]


def test_greedy_selection_picks_the_best_of_all_and_keeps_the_best_prefix():
    p, targets = noisy_networks([1.0, 1.2, 2.5])
    regret = regret_of("log_loss", targets)
    selection = greedy_selection(p, regret, rounds=12)
    total = np.zeros_like(p[0])
    for size, (picked, value) in enumerate(
        zip(selection.order, selection.trajectory, strict=True), start=1
    ):
        options = [regret((total + one) / size) for one in p]
        assert value == pytest.approx(min(options), abs=1e-6)
        total += p[picked]
    assert selection.trajectory[-1] == min(selection.trajectory)
    assert selection.trajectory.index(min(selection.trajectory)) == len(selection.order) - 1
    counts = np.bincount(selection.order, minlength=3)
    np.testing.assert_allclose(selection.weights, counts / len(selection.order))


def test_greedy_selection_with_a_useless_network_gives_it_no_weight():
    p, targets = noisy_networks([0.8, 0.8, 30.0])
    assert greedy_selection(p, regret_of("log_loss", targets)).weights[2] == 0.0


def test_greedy_selection_never_adds_a_copy_of_a_chosen_network():
    p, targets = noisy_networks([1.0, 1.2])
    doubled = np.stack([p[0], p[0] * (1 + 1e-13), p[1]])
    selection = greedy_selection(doubled, regret_of("log_loss", targets))
    assert selection.weights[1] == 0.0
    np.testing.assert_allclose(
        selection.weights[[0, 2]], greedy_selection(p, regret_of("log_loss", targets)).weights
    )


def test_greedy_selection_with_ties_asks_the_second_metric_then_the_order():
    targets = np.eye(2)[[0, 0, 1, 1]]
    vague = np.where(targets == 1, 0.6, 0.4)
    sure = np.where(targets == 1, 0.9, 0.1)
    both = np.stack([vague, sure])
    accuracy, log_loss = regret_of("accuracy", targets), regret_of("log_loss", targets)
    assert greedy_selection(both, accuracy, log_loss).order == (1,)
    assert greedy_selection(both, accuracy).order == (0,)


def test_greedy_selection_works_where_the_combiner_averages():
    p, targets = noisy_networks([1.0, 1.0])
    z = np.log(p)
    regret = regret_of("log_loss", targets)
    selection = greedy_selection(z, lambda mean: regret(COMBINERS["logits"](TASK).finish(mean)))
    assert selection.trajectory[0] == pytest.approx(min(regret(one) for one in p), abs=1e-6)


@pytest.mark.parametrize(("noise", "picked"), [(1e-14, 1), (1e-9, 0)])
def test_greedy_selection_takes_regrets_that_differ_in_their_last_bits_for_ties(noise, picked):
    representations = np.array([[[0.0]], [[1.0]]])
    selection = greedy_selection(
        representations,
        lambda mean: 0.3 + noise * float(mean[0, 0]),
        lambda mean: -float(mean[0, 0]),
        rounds=1,
    )
    assert selection.order == (picked,)


def test_greedy_selection_rounds_no_small_regrets():
    representations = np.array([[[0.0]], [[1.0]]])
    small = greedy_selection(representations, lambda mean: 1e-5 - 1e-7 * float(mean[0, 0]))
    assert small.order == (1,) and small.trajectory == (pytest.approx(0.99e-5, rel=1e-6),)
    large = greedy_selection(representations, lambda mean: 0.5 - 1e-7 * float(mean[0, 0]))
    assert large.order == (1,) and large.trajectory == (0.5,)


@pytest.mark.parametrize(("method", "picked"), [("probabilities", 1), ("rank", 0)])
def test_greedy_finds_of_equally_good_networks_the_one_of_less_log_loss(method, picked):
    targets = np.eye(3)[np.arange(30) % 3]
    # Both name all classes rightly; the second one is surer of them.
    p = np.stack([0.4 * targets + 0.2, 0.85 * targets + 0.05])
    combiner = COMBINERS[method](Task.SINGLE_LABEL)
    sample = Sample(lambda asked: p, targets, combiner, "roc_auc", 0, np.arange(30))
    found = WEIGHTINGS["greedy"]().find(sample)
    assert found.selection.order == (picked,) and found.note == "1 pick for roc_auc"
