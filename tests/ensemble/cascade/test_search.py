"""The search against trying every plan with every threshold."""

import itertools

import numpy as np
import pytest

from ensemble.cascade.confidence import Confidence
from ensemble.cascade.plans import Change, Plan, Views, estimated_loss, simplified
from ensemble.cascade.search import Goal, cuts, cuts_of, ordered_partitions, search
from ensemble.combine import COMBINERS
from ensemble.scoring import per_row_regrets
from orchard.formats import Task
from tests.ensemble.cascade.networks import some_networks


def _views(networks=3, rows=40, metric="accuracy", seed=0, task=Task.SINGLE_LABEL, kind=Views):
    logits, targets = some_networks(networks, rows, seed=seed, task=task)
    width = 1 if task == Task.SINGLE_LABEL else targets.shape[1]
    plain = np.ones(width)
    weights = np.arange(1, networks + 1) / np.arange(1, networks + 1).sum()
    combiner = COMBINERS["logits"](task)
    return kind(logits, weights, targets, combiner, lambda _: (plain, plain), metric)


def _every_plan(views):
    for stages in ordered_partitions(views.everyone):
        for confidence in Confidence:
            plan = Plan(stages, (0.0,) * (len(stages) - 1), confidence)
            levels = [cuts(views.doubts(one, confidence), 10_000) for one in plan.prefixes()[:-1]]
            for doubts in itertools.product(*levels):
                yield simplified(Plan(stages, doubts, confidence))


def _by_hand(views, plan, costs):
    """Share and estimated loss of a plan, image by image and class by class."""
    spent, rows = 0.0, []
    for row in range(len(views.targets)):
        for number, networks in enumerate(plan.prefixes()):
            last = number == len(plan.stages) - 1
            if last or views.doubts(networks, plan.confidence)[row] <= plan.max_doubts[number]:
                spent += costs[list(networks)].sum()
                rows.append(views.probabilities(networks)[row])
                break
    share = spent / len(rows) / costs.sum()
    ours, every = np.array(rows), views.probabilities(views.everyone)
    seen = _regrets_by_hand(views, ours, views.targets)
    if seen is None:
        return share, views.regret(ours) - views.regret(every)
    seen = seen - _regrets_by_hand(views, every, views.targets)
    expected = np.zeros(len(rows))
    for each, believed in zip(np.eye(every.shape[1]), every.T, strict=True):
        targets = np.broadcast_to(each, every.shape)
        change = _regrets_by_hand(views, ours, targets) - _regrets_by_hand(views, every, targets)
        expected += believed * change
    rest = seen - expected
    chance = 3 * rest.std() / np.sqrt(len(rest))
    return share, expected.mean() + np.sign(rest.mean()) * max(abs(rest.mean()) - chance, 0)


def _regrets_by_hand(views, probabilities, targets):
    return per_row_regrets(views.metric, probabilities, targets, Task.SINGLE_LABEL)


GOALS = [
    Goal(0.0),
    Goal(0.05),
    Goal(0.1, errors=1),
    Goal(max_share=0.4),
    Goal(None, 0.5, 0.8),
]


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_search_of_few_networks_finds_the_best_of_all_plans(metric):
    views, costs = _views(rows=14, metric=metric), np.array([1.0, 2.0, 5.0])
    plans = list(_every_plan(views))
    figures = np.array([views.assess(plan, costs) for plan in plans])
    for goal, found in zip(GOALS, search(views, costs, GOALS), strict=True):
        first, _ = goal.rank(*figures.T)
        own, _ = goal.rank(*(np.array([one]) for one in views.assess(found, costs)))
        assert own[0] == pytest.approx(first.min(), abs=1e-9), goal


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "roc_auc"])
@pytest.mark.parametrize("networks", [3, 6])
def test_search_gives_plans_that_meet_their_goal_counted_by_hand(metric, networks):
    views = _views(networks, rows=60, metric=metric, seed=1)
    costs = np.arange(1.0, networks + 1)
    goals = [Goal(0.01), Goal(max_share=0.5)]
    careful, cheap = search(views, costs, goals)
    share, loss = _by_hand(views, careful, costs)
    assert loss <= 0.01 + 1e-9 and share < 1
    assert (share, loss) == pytest.approx(views.assess(careful, costs)[:2])
    share, _ = _by_hand(views, cheap, costs)
    assert share <= 0.5 + 1e-9


def test_search_of_many_labels_meets_its_goal():
    views = _views(rows=60, metric="log_loss", task=Task.MULTI_LABEL)
    (plan,) = search(views, np.array([1.0, 2.0, 5.0]), [Goal(max_share=0.6)])
    share, _ = _by_hand(views, plan, np.array([1.0, 2.0, 5.0]))
    assert share <= 0.6 and len(plan.stages) > 1


def test_search_without_a_plan_for_the_goal_runs_all_networks():
    views = _views()
    (plan,) = search(views, np.array([1.0, 1.0, 1.0]), [Goal(max_share=0.2)])
    assert plan.stages == ((0, 1, 2),) and plan.max_doubts == ()


def test_cuts_lie_between_doubts_from_nobody_to_all():
    assert cuts(np.array([0.4, 0.1, 0.4]), 9).tolist() == [0.0, 0.25, np.inf]
    found = cuts(np.linspace(0.01, 1, 1000), 12)
    assert len(found) == 12 and (np.diff(found) > 0).all()


def test_ordered_partitions_are_as_many_as_there_are():
    assert [len(list(ordered_partitions(range(n)))) for n in range(1, 5)] == [1, 3, 13, 75]


def test_cuts_of_many_networks_keep_their_order_and_are_few():
    found = cuts_of([2, 0, 1])
    assert found == [((2,), (0, 1)), ((2, 0), (1,)), ((2,), (0,), (1,))]
    assert len(cuts_of(range(60))) <= 300
    # 24 ways to cut 25 once, and 276 to cut them twice; of 26 they would be 325.
    assert [len(cuts_of(range(n))) for n in (25, 26)] == [300, 25]


def test_goal_without_errors_takes_the_loss_as_it_is():
    figures = np.array([0.5, 0.5]), np.array([0.1, 0.5]), np.array([1.0, 1.0])
    first, second = Goal(0.1).rank(*figures)
    assert first.tolist() == [0.5, np.inf] and second[0] == 0.1
    assert np.isinf(Goal(0.1, errors=1).rank(*figures)[0]).all()
    first, second = Goal(max_share=0.5).rank(*figures)
    assert first.tolist() == [0.1, 0.5] and second.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_search_within_what_the_cheapest_network_costs_takes_it_alone(metric):
    (plan,) = search(_views(metric=metric), np.array([4.0, 1.0, 2.0]), [Goal(max_share=1 / 7)])
    assert plan.stages == ((1,),) and plan.max_doubts == ()


def test_estimated_loss_believes_labels_as_far_as_they_are_beyond_chance():
    generator = np.random.default_rng(0)
    expected = generator.uniform(0, 0.02, 400)
    seen = expected + generator.choice([-1.0, 0.0, 1.0], 400, p=[0.05, 0.9, 0.05])
    by_chance = Change(seen - (seen - expected).mean(), expected)
    loss, error = estimated_loss(by_chance.sums(np.arange(400)) / 400, 400)
    assert loss == pytest.approx(expected.mean())
    assert error == pytest.approx(by_chance.seen.std() / 20)
    better = Change(seen - 0.5, expected)  # Labels say that it is better than all networks.
    loss, _ = estimated_loss(better.sums(np.arange(400)) / 400, 400)
    rest = better.seen - better.expected
    assert loss == pytest.approx(better.seen.mean() + 3 * rest.std() / 20)


class _ByLabels(Views):
    """Plans are judged by labels alone."""

    def change(self, networks):
        seen = super().change(networks).seen
        return Change(seen, seen)


def test_search_on_few_images_loses_less_on_new_ones_than_by_labels_alone():
    costs, new = np.array([1.0, 1.3, 1.5]), _views(rows=20_000, seed=100)
    losses = []
    for seed in range(8):
        for kind in (Views, _ByLabels):
            (plan,) = search(_views(rows=300, seed=seed, kind=kind), costs, [Goal(max_share=0.4)])
            losses.append(new.regret(new.predict(plan)) - new.regret_of_all)
    ours, by_labels = np.reshape(losses, (8, 2)).mean(axis=0)
    assert ours < by_labels - 0.002
