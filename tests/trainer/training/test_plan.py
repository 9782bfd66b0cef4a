import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchard.errors import OrchardError
from trainer.augment import AugmentOptions
from trainer.config import TrainConfig
from trainer.training.plan import Splits, choose_splits, make_plan, smaller_batches

_FOLDS = ["fold0", "fold1", "fold2", "test"]
_SPLITS = Splits("train", "eval")


def _config(**changes):
    base = TrainConfig(
        dataset="d", run_dir="r", architecture="mobilenet_v2", batch_size=32, epochs=2
    )
    return dataclasses.replace(base, **changes)


def test_choose_splits_fold_leaves_it_out_of_training():
    assert choose_splits(_config(fold="1"), _FOLDS) == Splits("fold0+fold2", "fold1")


def test_choose_splits_fold_none_trains_on_all_folds_and_evaluates_nothing():
    assert choose_splits(_config(fold="none"), _FOLDS) == Splits("fold0+fold1+fold2", "none")
    with pytest.raises(OrchardError, match="no folds but the splits train, test; use"):
        choose_splits(_config(fold="none"), ["train", "test"])


def test_choose_splits_of_train_and_eval_takes_them():
    assert choose_splits(_config(), ["train", "eval", "test"]) == Splits("train", "eval")
    assert choose_splits(_config(), ["train", "test"]) == Splits("train", "none")
    assert choose_splits(_config(eval_split="dev"), ["train", "dev"]) == Splits("train", "dev")
    assert choose_splits(_config(eval_split="none"), ["train", "eval"]) == Splits("train", "none")


@pytest.mark.parametrize(("flags", "names"), [({"fold": "7"}, _FOLDS), ({}, _FOLDS)])
def test_choose_splits_missing_split_is_refused_with_the_known_ones(flags, names):
    with pytest.raises(OrchardError, match="fold0, fold1, fold2, test"):
        choose_splits(_config(**flags), names)


def test_make_plan_steps_span_epochs_and_end_in_an_evaluation():
    plan = make_plan(_config(epochs=3), _SPLITS, num_records=100, num_replicas=1)
    assert plan.steps_per_epoch == 3.125
    assert plan.total_steps == 9
    assert plan.eval_steps == (3, 6, 9)


def test_make_plan_short_training_has_one_evaluated_step():
    plan = make_plan(_config(epochs=0.01), _SPLITS, num_records=10, num_replicas=1)
    assert plan.total_steps == 1 and plan.eval_steps == (1,)


@pytest.mark.parametrize(
    ("length", "steps"),
    [
        ({"epochs": 3, "min_steps": 100}, 100),  # 100 records of 32 a step: 32 epochs.
        ({"epochs": 3, "min_steps": 5}, 9),
        ({"epochs": 3, "min_steps": 100, "max_epochs": 8}, 25),
        ({"epochs": 3, "min_steps": 5, "max_epochs": 8}, 9),
    ],
)
def test_make_plan_min_steps_lengthen_the_training_up_to_max_epochs(length, steps):
    plan = make_plan(_config(**length), _SPLITS, num_records=100, num_replicas=1)
    assert plan.total_steps == steps == plan.schedule.total_steps
    assert plan.epochs == steps / 3.125


def test_make_plan_num_evals_are_spread_evenly_and_end_with_the_last_step():
    plan = make_plan(_config(epochs=8, num_evals=3), _SPLITS, num_records=100, num_replicas=1)
    assert plan.eval_steps == (8, 17, 25)


def test_make_plan_batch_and_rate_grow_with_the_replicas():
    config = _config(batch_size=0, batch_size_per_replica=8, learning_rate_per_replica=1e-4)
    plan = make_plan(config, _SPLITS, num_records=1821, num_replicas=8)
    assert plan.batch_size == 64
    assert plan.schedule.peak == pytest.approx(8e-4)


@pytest.mark.parametrize(("replicas", "accumulation"), [(3, 1), (8, 8)])
def test_make_plan_batch_that_does_not_divide_is_refused_with_one_that_does(replicas, accumulation):
    config = _config(accumulation_steps=accumulation)
    with pytest.raises(OrchardError, match="use --batch_size="):
        make_plan(config, _SPLITS, num_records=100, num_replicas=replicas)


def test_make_plan_mixing_of_an_odd_share_is_refused_with_a_batch_that_goes():
    mixup = AugmentOptions.only(mixup_alpha=1.0)
    config = _config(batch_size=18, accumulation_steps=3, augment=mixup)
    with pytest.raises(
        OrchardError, match="9 a replica must be even; use --batch_size=24"
    ) as caught:
        make_plan(config, _SPLITS, num_records=100, num_replicas=2)
    advice = dataclasses.replace(config, batch_size=int(str(caught.value).rpartition("=")[2]))
    assert make_plan(advice, _SPLITS, num_records=100, num_replicas=2).batch_size == 24


@given(
    images=st.integers(1, 40),
    parts=st.integers(1, 5),
    replicas=st.sampled_from([1, 2, 3, 8]),
    per_replica=st.booleans(),
    mixes=st.booleans(),
)
def test_smaller_batches_can_all_be_trained_with_in_half_the_memory(
    images, parts, replicas, per_replica, mixes
):
    images = images * parts * (2 if mixes else 1)
    batch = {"batch_size": 0, "batch_size_per_replica": images}
    if not per_replica:
        batch = {"batch_size": images * replicas}
    augment = AugmentOptions.only(mixup_alpha=1.0 if mixes else 0.0)
    config = _config(accumulation_steps=parts, augment=augment, **batch)
    plan = make_plan(config, _SPLITS, num_records=100, num_replicas=replicas)
    found = re.findall(r"--(\w+)=(\d+)", smaller_batches(config, plan, replicas))
    assert found or images // parts == 1 or (mixes and images == 2 * parts)
    for name, value in found:
        other = dataclasses.replace(config, **{name: int(value)})
        smaller = make_plan(other, _SPLITS, num_records=100, num_replicas=replicas)
        at_once = smaller.batch_size // replicas // other.accumulation_steps
        assert 2 * at_once <= images // parts


def test_make_plan_evaluation_batch_divides_among_the_replicas():
    config = _config(eval_batch_size=10)
    assert make_plan(config, _SPLITS, num_records=100, num_replicas=4).eval_batch_size == 12


def test_next_stop_is_the_next_evaluation_checkpoint_or_stage_end():
    config = _config(epochs=10, freeze_epochs=1.6, weights="imagenet")
    plan = make_plan(config, _SPLITS, num_records=320, num_replicas=1)
    stops, step = [], 0
    while step < 40:
        step = plan.next_stop(step, checkpoint_every_steps=15)
        stops.append(step)
    assert stops == [10, 15, 16, 20, 30, 40]


def test_make_plan_freezing_all_steps_is_refused():
    config = _config(freeze_epochs=1.9)
    with pytest.raises(OrchardError, match="freeze_epochs=1.9"):
        make_plan(config, _SPLITS, num_records=100, num_replicas=1)


def test_make_plan_durations_in_epochs_become_steps():
    config = _config(schedule="article", warmup_epochs=15, hold_epochs=3, epochs=50)
    plan = make_plan(config, _SPLITS, num_records=1792, num_replicas=1)
    assert plan.schedule.warmup_steps == 15 * 56
    assert plan.schedule.hold_steps == 3 * 56
    config = _config(warmup_steps=7)
    assert make_plan(config, _SPLITS, 100, 1).schedule.warmup_steps == 7


def test_choose_splits_of_a_repeat_takes_its_folds():
    config = _config(fold="1", fold_repeat=2)
    names = ("fold0", "fold1", "fold2", "holdout", "test")
    splits = choose_splits(config, names)
    assert splits == Splits("repeat2_fold0+repeat2_fold2", "repeat2_fold1")


def test_choose_splits_never_trains_on_the_holdout():
    assert choose_splits(_config(fold="none"), ("fold0", "fold1", "holdout")).train == "fold0+fold1"
    assert choose_splits(_config(), ("train", "eval", "holdout")) == Splits("train", "eval")
    assert choose_splits(_config(), ("train", "holdout")) == Splits("train", "none")
