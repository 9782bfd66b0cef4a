import numpy as np

from ensemble.members import Cast, FoldGroup, Member
from ensemble.scoring.price import ensemble_prices, inference_text, price, training_text
from orchard.formats import ComputeTime, InputSpec, Price, Task, TrainingCost


def _cost(seconds=10.0, flops=100, kind="cpu"):
    device_seconds = 0.0 if kind == "cpu" else seconds
    time = ComputeTime(5.0, seconds, device_seconds, kind, 1) if seconds else None
    return TrainingCost(time, 1000, flops, 50)


def _member(name, cost):
    size = InputSpec(16, 16, "squash", False)
    names = ("rust", "scab")
    one = Member(name, name, names, Task.SINGLE_LABEL, "b0", size, "a", "b", name, "data")
    return Member(**{**vars(one), "cost": cost})


def test_price_of_several_runs_is_their_sum_with_every_view():
    costs = [_cost(10.0, 100), _cost(20.0, 300)]
    assert price(costs, costs[:1], num_views=4) == Price(30.0, "CPU-s", 400)


def test_price_with_one_unknown_is_unknown_and_not_less():
    assert price([_cost(), None], [_cost(), None]) == Price(None, "", None)
    assert price([_cost(seconds=None)], [_cost(flops=None)]) == Price(None, "", None)
    assert price([_cost(seconds=None)], [_cost(flops=7)]) == Price(None, "", 7)


def test_price_of_runs_on_cpus_and_on_gpus_has_no_sum_of_seconds():
    assert price([_cost(kind="cpu"), _cost(kind="gpu")], [_cost()]) == Price(None, "", 100)


def test_ensemble_prices_leave_members_without_weight_out_of_a_prediction_alone():
    members = (_member("a", _cost(10.0, 1)), _member("b", _cost(20.0, 2)), _member("c", None))
    cast = Cast(members, (FoldGroup("ab", (0, 1)), FoldGroup("c", (2,))))
    prices = ensemble_prices(cast, cast, np.array([0.5, 0.5, 0.0]), num_views=2)
    assert prices.members == (Price(10.0, "CPU-s", 2), Price(20.0, "CPU-s", 4), Price())
    assert prices.networks == (Price(30.0, "CPU-s", 6), Price())
    assert prices.ensemble == Price(None, "", 6)


def test_ensemble_prices_of_refits_count_the_training_of_the_folds_that_vouch_for_them():
    folds = Cast(
        (_member("b0/fold0", _cost(10.0, 1)), _member("b0/fold1", _cost(11.0, 1))),
        (FoldGroup("b0", (0, 1)),),
    )
    refit = Cast((_member("b0/refit0", _cost(15.0, 1)),), (FoldGroup("b0", (0,)),))
    prices = ensemble_prices(refit, folds, np.ones(1), num_views=1)
    assert prices.members == (Price(15.0, "CPU-s", 1),)
    assert prices.networks == (Price(36.0, "CPU-s", 1),) and prices.ensemble == prices.networks[0]


def test_texts_say_unknown_for_what_is_not_known():
    assert (inference_text(Price()), training_text(Price())) == ("unknown", "unknown")
    known = Price(12_345.6, "GPU-s", 771_629_504)
    assert (inference_text(known), training_text(known)) == ("0.772", "12,300 GPU-s")
