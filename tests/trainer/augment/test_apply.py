import numpy as np
import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from tests.trainer.datasets import smooth_image
from trainer.augment import apply
from trainer.augment.options import COLUMNS, INDEX, AugmentOptions

NONE = AugmentOptions(flips="none")
EVERYTHING = AugmentOptions(
    flips="both",
    quarter_turns=True,
    rotate_degrees=10,
    shear=0.1,
    zoom=0.1,
    translate=0.1,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    erase=0.5,
    randaugment_ops=2,
    mixup_alpha=0.2,
    cutmix_alpha=1.0,
)
GIDS = np.arange(2000)


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.stack([smooth_image(i, 24, 24) for i in range(8)]))


def column(parameters: np.ndarray, name: str) -> np.ndarray:
    return parameters[:, INDEX[name]]


def test_rows_are_a_pure_function_of_seed_epoch_and_record():
    whole = apply.draw_eagerly(1, 0, GIDS, EVERYTHING)
    assert whole.shape == (2000, len(COLUMNS)) and whole.dtype == np.float32
    some = np.array([1999, 3, 700])
    assert (apply.draw_eagerly(1, 0, some, EVERYTHING) == whole[some]).all()
    assert (
        apply.draw_eagerly(1, np.array([0, 1, 0]), some, EVERYTHING)[[0, 2]] == whole[some[[0, 2]]]
    ).all()
    for other in (
        apply.draw_eagerly(2, 0, GIDS, EVERYTHING),
        apply.draw_eagerly(1, 1, GIDS, EVERYTHING),
    ):
        assert (other != whole).any(axis=1).all()


def test_a_draw_stays_what_it_was():
    # A resumed run relies on it: if this fails, old runs go on with other augmentation than they
    # began with.
    row = apply.draw_eagerly(7, 1, np.array([3]), EVERYTHING)
    np.testing.assert_allclose(row, [FROZEN], rtol=1e-4)


# fmt: off
FROZEN = [
    0, 1, 3, -0.0737305, -0.0886895, 1.03291, -0.0497857, 0.0875334, 0.105603, 0.900071, 1.07387,
    0.19, 1, 256, 0, 0, 0, 0.39431, 0.524382, 1, 0.44129, 0.389015, 0.137837,
]
# fmt: on


def test_switching_one_augmentation_on_changes_no_other():
    plain = apply.draw_eagerly(1, 0, GIDS, AugmentOptions())
    more = apply.draw_eagerly(1, 0, GIDS, AugmentOptions(rotate_degrees=5, mixup_alpha=0.3))
    changed = {name for name in COLUMNS if (column(plain, name) != column(more, name)).any()}
    # Where a box of no size would lie doesn't matter.
    assert changed - {"cutmix_y", "cutmix_x"} == {"rotate", "mixup"}


def test_draws_follow_their_distributions():
    rows = apply.draw_eagerly(3, 0, GIDS, EVERYTHING)
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
def test_randaugment_changes_so_many_parameters(count):
    rows = apply.draw_eagerly(4, 0, GIDS, AugmentOptions(flips="none", randaugment_ops=count))
    identity = apply.draw_eagerly(4, 0, GIDS, NONE)
    assert ((rows != identity).sum(axis=1) == count).all()


def test_nothing_drawn_changes_nothing(images):
    parameters = apply.draw_eagerly(0, 0, np.arange(8), NONE)
    changed = apply.augment_batch(images, parameters, EVERYTHING).numpy()
    assert abs(changed - images.numpy()).max() < 1e-3
    same = apply.augment_batch(images, parameters, NONE)
    assert same.dtype == tf.float32 and (same.numpy() == images.numpy()).all()


def test_compiled_eager_and_graph_agree_and_stay_in_range(images):
    targets = tf.one_hot(np.arange(8) % 3, 3)
    parameters = tf.constant(apply.draw_eagerly(1, 0, np.arange(8), EVERYTHING))

    def augmented(images, targets, parameters):
        changed = apply.augment_batch(images, parameters, EVERYTHING)
        return apply.mix_batch(changed, targets, parameters, EVERYTHING)

    eager = augmented(images, targets, parameters)
    compiled = tf.function(augmented, jit_compile=True)(images, targets, parameters)
    for one, other in zip(eager, compiled, strict=True):
        # A posterized value on the edge of a step may fall to either side.
        close = abs(one.numpy() - other.numpy()) < 0.01
        assert close.mean() > 0.999
    assert eager[0].numpy().min() >= 0 and eager[0].numpy().max() <= 255
    np.testing.assert_allclose(eager[1].numpy().sum(axis=1), 1, rtol=1e-6)


def test_partners_are_the_same_for_any_number_of_replicas(images):
    options = AugmentOptions(mixup_alpha=1.0, cutmix_alpha=1.0)
    targets = tf.one_hot(np.arange(8), 8)
    parameters = apply.draw_eagerly(1, 0, np.arange(8), options)
    floats = tf.cast(images, tf.float32)
    whole = apply.mix_batch(floats, targets, parameters, options)
    for size in (2, 4):
        parts = [
            apply.mix_batch(
                floats[i : i + size], targets[i : i + size], parameters[i : i + size], options
            )
            for i in range(0, 8, size)
        ]
        for position in (0, 1):
            together = np.concatenate([part[position] for part in parts])
            np.testing.assert_allclose(together, whole[position], atol=1e-4)


def test_a_skipped_partner_is_not_mixed_in(images):
    options = AugmentOptions(mixup_alpha=1.0, cutmix_alpha=1.0)
    targets = tf.one_hot(np.arange(8), 8)
    parameters = apply.draw_eagerly(1, 0, np.arange(8), options)
    weights = tf.constant([1.0, 0, 1, 1, 1, 1, 1, 1])
    mixed, mixed_targets = apply.mix_batch(
        tf.cast(images, tf.float32), targets, parameters, options, weights
    )
    np.testing.assert_allclose(mixed[0], images[0], atol=1e-4)
    assert mixed_targets.numpy()[0].tolist() == targets.numpy()[0].tolist()
    assert (mixed_targets.numpy()[2:] != targets.numpy()[2:]).any()


def test_an_odd_batch_cannot_be_mixed(images):
    options = AugmentOptions(mixup_alpha=1.0)
    with pytest.raises(OrchardError, match="its batch is 7: make it even"):
        apply.mix_batch(
            tf.cast(images[:7], tf.float32),
            tf.zeros([7, 2]),
            apply.draw_eagerly(0, 0, np.arange(7), options),
            options,
        )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"flips": "vertical"}, "flips is 'vertical'; choose one of none, horizontal, both"),
        ({"rotate_degrees": 90}, "rotate_degrees is 90; it must be 0..45"),
        ({"crop_min_area": 0}, "crop_min_area is 0; it must be 0.01..1"),
        ({"mixup_alpha": -1}, "mixup_alpha is -1"),
    ],
)
def test_options_that_cannot_be_are_refused(change, message):
    with pytest.raises(OrchardError, match=message):
        AugmentOptions(**change)
