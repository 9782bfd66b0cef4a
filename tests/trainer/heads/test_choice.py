import numpy as np
import pytest

from orchard.formats import Task
from tests.trainer.heads.problems import features_and_targets
from trainer.evaluation import row_losses
from trainer.heads import HEADS, FeatureRows, HeadLoss, choice, choose_head, inner_folds, solver

_LOSS = HeadLoss(Task.SINGLE_LABEL)


def linear(features, targets):
    return HEADS["linear"](features.shape[1], targets.shape[1], seed=0)


def chosen(num_rows=80, num_features=6, shift=0.0, scale=1.0, views=1):
    features, targets = features_and_targets(num_rows, num_features)
    groups = np.arange(num_rows) % 5
    rng = np.random.default_rng(9)
    noisy = [features + 0.1 * rng.standard_normal(features.shape) for _ in range(views - 1)]
    seen = tuple((view * scale + shift).astype(np.float32) for view in (features, *noisy))
    return choose_head(linear(features, targets), _LOSS, FeatureRows(seen, targets, groups))


def test_inner_folds_are_the_datasets_own_where_there_are_several():
    splits = np.repeat([3, 5, 8], 4)
    found = inner_folds(np.arange(12).astype(str), splits)
    np.testing.assert_array_equal(found, np.repeat([0, 1, 2], 4))


def test_inner_folds_of_one_split_are_equal_parts_that_depend_on_the_ids_alone():
    ids = np.array([f"photo{i}" for i in range(103)])
    found = inner_folds(ids, np.zeros(103, int))
    assert sorted(np.bincount(found)) == [20, 20, 21, 21, 21]
    shuffled = np.random.default_rng(0).permutation(103)
    np.testing.assert_array_equal(inner_folds(ids[shuffled], np.zeros(103, int)), found[shuffled])


def test_choose_head_takes_the_decay_whose_heads_are_best_on_what_they_have_not_seen():
    features, targets = features_and_targets()
    groups = np.arange(len(features)) % 5
    rows = FeatureRows((features,), targets, groups)
    found = choose_head(linear(features, targets), _LOSS, rows)
    mean = features.mean(axis=0, dtype=np.float64)
    standard = ((features - mean) / features.std(axis=0, dtype=np.float64)).astype(np.float32)
    wanted = {}
    for decay in HEADS["linear"].decays:
        losses = []
        for fold in range(5):
            seen = groups != fold
            head = linear(features, targets)
            one = solver.HeadProblem(head, _LOSS, standard[seen], targets[seen], decay)
            logits = head.logits(one.descend(head.initial(), 1e-6, 5000), standard[~seen])
            losses.append(row_losses(logits, targets[~seen], Task.SINGLE_LABEL))
        wanted[decay] = float(np.mean(np.concatenate(losses)))
    assert found.decay == min(wanted, key=wanted.get)
    for decay, loss in found.losses.items():
        assert loss == pytest.approx(wanted[decay], abs=2e-3)
    assert len(found.losses) < len(wanted)


def test_choose_head_of_classes_that_features_separate_solves_weak_decays_too():
    features, targets = features_and_targets()
    apart = np.concatenate([features + 0.01, 40 * targets], axis=1).astype(np.float32)
    rows = FeatureRows((apart,), targets, np.arange(len(apart)) % 5)
    losses = choose_head(linear(apart, targets), _LOSS, rows).losses
    assert len(set(losses.values())) == len(losses)


def test_choose_head_solution_is_that_of_all_rows():
    features, targets = features_and_targets()
    found = chosen()
    head = linear(features, targets)
    one = solver.HeadProblem(head, _LOSS, features.astype(np.float64), targets, found.decay)
    _, gradient = one.value_and_gradient(found.parameters)
    assert np.abs(gradient).max() < 1e-6


def test_choose_head_does_not_depend_on_the_scale_of_the_features():
    plain, other = chosen(), chosen(shift=40, scale=7)
    assert plain.decay == other.decay
    np.testing.assert_allclose(other.parameters, plain.parameters, atol=1e-4)
    np.testing.assert_allclose(other.scale, 7 * plain.scale, rtol=1e-4)


def test_choose_head_learns_from_all_views():
    assert np.abs(chosen(views=3).parameters - chosen().parameters).max() > 1e-3


def test_choose_head_of_one_record_has_nothing_to_choose_by():
    features, targets = features_and_targets()
    rows = FeatureRows((features[:1],), targets[:1], np.zeros(1, int))
    found = choose_head(linear(features, targets), _LOSS, rows)
    assert found.decay == HEADS["linear"].start_at
    assert np.isfinite(found.parameters).all()
    assert all(np.isnan(loss) for loss in found.losses.values())


@pytest.mark.parametrize("best", [0, 1, 4, 6, 12])
def test_search_finds_the_lowest_of_a_valley_wherever_it_is(best):
    head = linear(*features_and_targets())
    asked = []

    def loss(decay):
        asked.append(decay)
        return abs(head.decays.index(decay) - best)

    losses = choice._search(head, loss)
    assert min(losses, key=losses.get) == head.decays[best]
    assert len(asked) == len(set(asked))
