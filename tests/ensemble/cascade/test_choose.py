import math
import re

import numpy as np
import pytest

from ensemble.cascade import Wish, choose_cascade
from ensemble.cascade.search import Goal
from ensemble.combine import COMBINERS, Combination
from ensemble.fitting import HeldOut
from ensemble.members import FoldGroup
from orchard.errors import OrchardError
from orchard.formats import Task
from tests.ensemble.cascade.networks import some_networks


def _choose(logits, targets, wish, *, flops=None, weights=None, metric="accuracy", **overrides):
    count = len(logits)
    weights = np.full(count, 1 / count) if weights is None else weights
    combiner = COMBINERS["logits"](Task.SINGLE_LABEL)
    combination = Combination((combiner,) * count, weights, np.ones((count, 1)), np.ones(1))
    networks = tuple(FoldGroup(f"n{at}", (at,)) for at in range(count))
    held_out = HeldOut(
        np.array([f"i{at:05d}" for at in range(len(targets))]),
        targets,
        (np.arange(len(targets)),) * count,
        tuple(logits),
        networks,
    )
    return choose_cascade(
        combination,
        weights,
        networks,
        flops or [1_000, 2_000, 4_000][:count],
        held_out,
        logits,
        wish=wish,
        metric=metric,
        **{"calibrate": False, **overrides},
    )


@pytest.fixture(scope="module")
def many():
    return some_networks(3, 4000, seed=3)


def test_choose_cascade_within_a_loss_saves_and_its_interval_ends_below_it(many):
    choice = _choose(*many, Wish(max_loss=0.01))
    assert choice.found is not None
    assert choice.verdict.high <= 0.01 and choice.verdict.share < 0.7
    assert choice.found.flops < choice.flops_of_all == 7_000
    assert sum(choice.found.left_shares) == pytest.approx(1)
    # What was found is what the cascade does.
    probabilities, left = choice.found.cascade.staged(many[0])
    np.testing.assert_allclose(probabilities, choice.found.probabilities, atol=1e-12)
    spent = np.cumsum([sum((1, 2, 4)[m] for m in s.members) for s in choice.found.cascade.stages])
    assert spent[left].mean() * 1000 == pytest.approx(choice.found.flops, abs=1)
    assert "of the FLOPs of all networks" in choice.sentence


def test_choose_cascade_keeps_its_promise_on_new_images(many):
    choice = _choose(*many, Wish(max_loss=0.01))
    logits, targets = some_networks(3, 40_000, seed=4)
    true = targets.argmax(axis=1)
    ours = (choice.found.cascade(logits).argmax(axis=1) == true).mean()
    theirs = (logits.mean(axis=0).argmax(axis=1) == true).mean()
    assert theirs - ours <= 0.01


def test_choose_cascade_calibrated_gives_each_stage_its_own_temperature(many):
    choice = _choose(*many, Wish(max_share=0.7), calibrate=True, metric="log_loss")
    stages = choice.found.cascade.stages
    assert all(stage.temperature == stage.confidence_temperature for stage in stages)
    plain = _choose(*many, Wish(max_share=0.7), metric="log_loss").found.cascade.stages
    assert all(stage.temperature == 1 for stage in plain)
    assert any(stage.confidence_temperature != 1 for stage in plain)


def test_goals_of_a_wish_are_several_degrees_of_care():
    careful = [Goal(0.02, errors=errors) for errors in range(5)]
    assert Wish(max_loss=0.02).goals() == [*careful, Goal(0.01), Goal(0.0)]
    assert Wish(max_share=0.5).goals() == [Goal(max_share=0.5)]


def test_choose_cascade_within_a_cost_stays_within_it(many):
    choice = _choose(*many, Wish(max_share=0.3))
    shares = [point.share for point in choice.curve]
    assert shares == sorted(set(shares)) and 0 < shares[0] < shares[-1] < 1
    assert all(point.low <= point.loss <= point.high < np.inf for point in choice.curve)
    assert choice.found.flops <= 0.3 * 7_000
    none = _choose(*many, Wish(max_share=0.1))
    assert none.found is None
    assert "the cheapest network alone costs 0.14" in none.sentence


def test_choose_cascade_on_few_images_is_not_shown_and_its_advice_works():
    logits, targets = some_networks(3, 200, seed=5)
    choice = _choose(logits, targets, Wish(max_loss=0.001))
    # 3 of 200 may be wrong even if none of these is.
    assert choice.found is None and choice.verdict.high >= 3 / 200
    (advice,) = re.findall(r"--cascade=([\d.]+) has one", choice.sentence)
    assert float(advice) == math.ceil(choice.verdict.high * 1e4) / 1e4
    assert _choose(logits, targets, Wish(max_loss=float(advice))).found is not None


def test_choose_cascade_leaves_networks_without_weight_out(many):
    choice = _choose(*many, Wish(max_share=0.9), weights=np.array([0.5, 0.0, 0.5]))
    assert choice.flops_of_all == 5_000
    names = {name for stage in choice.found.stage_names for name in stage}
    assert names <= {"n0", "n2"} and set(choice.found.cascade.members) <= {0, 2}


def test_choose_cascade_of_what_it_cannot_be_chosen_from_is_refused(many):
    logits, targets = many
    with pytest.raises(OrchardError, match=r"--cascade=0.1 needs two networks"):
        _choose(logits, targets, Wish(0.1), weights=np.array([0.0, 1.0, 0.0]))
    with pytest.raises(OrchardError, match=r"a prediction by n1 costs is not in its run.json"):
        _choose(logits, targets, Wish(0.1), flops=[1, None, 2])
    with pytest.raises(OrchardError, match=r"has 10 held-out images, fewer than 20"):
        _choose(logits[:, :10], targets[:10], Wish(0.1))
