import numpy as np
import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from tests.trainer.augment.examples import EVERYTHING
from tests.trainer.datasets import smooth_image
from trainer.augment import AugmentOptions, augment_batch, draw_eagerly, mix_batch

NONE = AugmentOptions.only()
MIXED = AugmentOptions(mixup_alpha=1.0, cutmix_alpha=1.0)


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.stack([smooth_image(i, 24, 24) for i in range(8)]))


def test_augment_batch_nothing_drawn_changes_nothing(images):
    parameters = draw_eagerly(0, 0, np.arange(8), NONE)
    changed = augment_batch(images, parameters, EVERYTHING).numpy()
    assert abs(changed - images.numpy()).max() < 1e-3
    same = augment_batch(images, parameters, NONE)
    assert same.dtype == tf.float32 and (same.numpy() == images.numpy()).all()


def test_augment_batch_compiled_and_eager_agree_and_stay_in_range(images):
    targets = tf.one_hot(np.arange(8) % 3, 3)
    parameters = tf.constant(draw_eagerly(1, 0, np.arange(8), EVERYTHING))

    def augmented(images, targets, parameters):
        changed = augment_batch(images, parameters, EVERYTHING)
        return mix_batch(changed, targets, parameters, EVERYTHING)

    eager = augmented(images, targets, parameters)
    compiled = tf.function(augmented, jit_compile=True)(images, targets, parameters)
    for one, other in zip(eager, compiled, strict=True):
        # A posterized value on the edge of a step may fall to either side.
        close = abs(one.numpy() - other.numpy()) < 0.01
        assert close.mean() > 0.999
    assert eager[0].numpy().min() >= 0 and eager[0].numpy().max() <= 255
    np.testing.assert_allclose(eager[1].numpy().sum(axis=1), 1, rtol=1e-6)


def test_mix_batch_any_number_of_replicas_has_the_same_partners(images):
    targets = tf.one_hot(np.arange(8), 8)
    parameters = draw_eagerly(1, 0, np.arange(8), MIXED)
    floats = tf.cast(images, tf.float32)
    whole = mix_batch(floats, targets, parameters, MIXED)
    for size in (2, 4):
        parts = [
            mix_batch(floats[i : i + size], targets[i : i + size], parameters[i : i + size], MIXED)
            for i in range(0, 8, size)
        ]
        for position in (0, 1):
            together = np.concatenate([part[position] for part in parts])
            np.testing.assert_allclose(together, whole[position], atol=1e-4)


def test_mix_batch_a_skipped_partner_is_not_mixed_in(images):
    targets = tf.one_hot(np.arange(8), 8)
    parameters = draw_eagerly(1, 0, np.arange(8), MIXED)
    weights = tf.constant([1.0, 0, 1, 1, 1, 1, 1, 1])
    mixed, mixed_targets = mix_batch(
        tf.cast(images, tf.float32), targets, parameters, MIXED, weights
    )
    np.testing.assert_allclose(mixed[0], images[0], atol=1e-4)
    assert mixed_targets.numpy()[0].tolist() == targets.numpy()[0].tolist()
    assert (mixed_targets.numpy()[2:] != targets.numpy()[2:]).any()


def test_mix_batch_an_odd_batch_is_refused(images):
    options = AugmentOptions(mixup_alpha=1.0)
    with pytest.raises(OrchardError, match="its batch is 7: make it even"):
        mix_batch(
            tf.cast(images[:7], tf.float32),
            tf.zeros([7, 2]),
            draw_eagerly(0, 0, np.arange(7), options),
            options,
        )
