import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from orchard.flags import option
from tests.trainer.augment.examples import EVERYTHING
from trainer.augment import (
    AUGMENTATIONS,
    Augmentation,
    AugmentOptions,
    Mixing,
    Parameter,
    Reach,
    draw_eagerly,
)

GIDS = np.arange(2000)


def column(parameters: np.ndarray, name: str, options: AugmentOptions = EVERYTHING) -> np.ndarray:
    return parameters[:, options.columns.index(name)]


def test_draw_eagerly_any_rows_are_a_pure_function_of_seed_epoch_and_record():
    whole = draw_eagerly(1, 0, GIDS, EVERYTHING)
    assert whole.shape == (2000, len(EVERYTHING.columns)) and whole.dtype == np.float32
    some = np.array([1999, 3, 700])
    assert (draw_eagerly(1, 0, some, EVERYTHING) == whole[some]).all()
    mixed_epochs = draw_eagerly(1, np.array([0, 1, 0]), some, EVERYTHING)
    assert (mixed_epochs[[0, 2]] == whole[some[[0, 2]]]).all()
    for other in (draw_eagerly(2, 0, GIDS, EVERYTHING), draw_eagerly(1, 1, GIDS, EVERYTHING)):
        assert (other != whole).any(axis=1).all()


def test_draw_eagerly_a_known_record_gives_the_frozen_row():
    # A resumed run relies on it: if this fails, old runs go on with other augmentation than they
    # began with.
    row = draw_eagerly(7, 1, np.array([3]), EVERYTHING)
    np.testing.assert_allclose(row, [FROZEN], rtol=1e-4)


# fmt: off
FROZEN = [
    0, 1, 3, -0.0737305, -0.0886895, 1.03291, -0.0497857, 0.0875334, 0.105603, 0.900071, 1.07387,
    0.19, 1, 256, 0, 0, 0, 0.39431, 0.524382, 1, 0.44129, 0.389015, 0.137837,
]
# fmt: on


def test_draw_eagerly_one_more_augmentation_changes_no_other():
    plain = draw_eagerly(1, 0, GIDS, AugmentOptions())
    more = draw_eagerly(1, 0, GIDS, AugmentOptions(rotate_degrees=5, mixup_alpha=0.3))
    names = EVERYTHING.columns
    changed = {name for name in names if (column(plain, name) != column(more, name)).any()}
    # Where a box of no size would lie doesn't matter.
    assert changed - {"cutmix_y", "cutmix_x"} == {"rotate", "mixup"}


def test_draw_eagerly_many_records_follow_their_distributions():
    rows = draw_eagerly(3, 0, GIDS, EVERYTHING)
    assert abs(column(rows, "flip_horizontal").mean() - 0.5) < 0.05
    assert np.bincount(column(rows, "quarter_turns").astype(int)).min() > 430
    assert abs((column(rows, "erase_height") > 0).mean() - 0.5) < 0.05
    mixes, cuts = column(rows, "mixup") < 1, column(rows, "cutmix_size") > 0
    assert not (mixes & cuts).any()
    assert abs(cuts.mean() - 0.5) < 0.05
    # Beta(1, 1) is uniform; Beta(0.2, 0.2) lies at its ends.
    assert abs((column(rows, "cutmix_size")[cuts] ** 2).mean() - 0.5) < 0.05
    ratio = column(rows, "mixup")[mixes]
    assert abs(ratio.mean() - 0.5) < 0.05 and np.median(abs(ratio - 0.5)) > 0.45


@pytest.mark.parametrize("count", [1, 3])
def test_draw_eagerly_randaugment_changes_so_many_parameters(count):
    rows = draw_eagerly(4, 0, GIDS, AugmentOptions.only(randaugment_ops=count))
    identity = draw_eagerly(4, 0, GIDS, AugmentOptions.only())
    assert ((rows != identity).sum(axis=1) == count).all()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tint(Augmentation):
    tint: float = option(0.0, "Random tint.", at_least=0, at_most=1)

    order = 55  # In the midst of the others.
    parameters = (Parameter("tint", reach=Reach(0.5)),)
    num_uniforms = 1

    def draw(self, uniforms):
        return {"tint": uniforms[:, 0] * self.tint}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swap(Mixing):
    swap: bool = option(False, "Change places with the partner.")

    order = 140
    parameters = (Parameter("swap"),)

    def draw(self, uniforms):
        return {"swap": tf.ones([tf.shape(uniforms)[0]])}


@pytest.fixture
def plugin(monkeypatch):
    members = {**dict(AUGMENTATIONS.items()), "tint": Tint, "swap": Swap}
    monkeypatch.setattr(AUGMENTATIONS, "_members", members)


def test_draw_eagerly_a_plugin_on_changes_no_other_draw(plugin):
    values = EVERYTHING.flags()
    options = AugmentOptions(**{**values, "randaugment_ops": 0, "tint": 0.5})
    rows = draw_eagerly(1, 0, GIDS, options)
    before = draw_eagerly(1, 0, GIDS, AugmentOptions(EVERYTHING.members, randaugment_ops=0))
    without = [name for name in options.columns if name != "tint"]
    for name in without:
        assert (column(rows, name, options) == column(before, name, options)).all()
    tints = column(rows, "tint", options)
    assert 0 <= tints.min() and tints.max() < 0.5 and abs(tints.mean() - 0.25) < 0.02


def test_draw_eagerly_a_plugin_with_a_reach_is_one_of_randaugments(plugin):
    options = AugmentOptions.only(randaugment_ops=3, randaugment_magnitude=10)
    rows = draw_eagerly(4, 0, GIDS, options)
    identity = draw_eagerly(4, 0, GIDS, AugmentOptions.only())
    assert ((rows != identity).sum(axis=1) == 3).all()
    tints = column(rows, "tint", options)
    assert set(np.unique(tints)) == {-0.5, 0.0, 0.5}
    assert abs((tints != 0).mean() - 3 / 12) < 0.05


def test_draw_eagerly_three_mixings_give_each_image_one(plugin):
    options = AugmentOptions(swap=True, mixup_alpha=1, cutmix_alpha=1)
    rows = draw_eagerly(5, 0, GIDS, options)
    mixed = [
        column(rows, "mixup", options) < 1,
        column(rows, "cutmix_size", options) > 0,
        column(rows, "swap", options) > 0,
    ]
    assert (np.sum(mixed, axis=0) == 1).all()
    assert np.sum(mixed, axis=1).min() > 600
