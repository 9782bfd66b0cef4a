import numpy as np
import tensorflow as tf

from trainer.augment import mixing

IMAGES = tf.constant(np.stack([np.full((10, 20, 3), v, np.float32) for v in (10, 50, 90, 130)]))
TARGETS = tf.one_hot([0, 1, 2, 3], 4)


def floats(*values: float) -> tf.Tensor:
    return tf.constant(values, tf.float32)


def test_partners_are_neighbours():
    assert mixing.partners(tf.constant([1, 2, 3, 4])).numpy().tolist() == [2, 1, 4, 3]


def test_mixup_blends_images_and_targets_alike():
    images, targets = mixing.mixup(IMAGES, TARGETS, floats(0.75, 1, 1, 0.5))
    assert images.numpy()[:, 0, 0, 0].tolist() == [20, 50, 90, 110]
    np.testing.assert_allclose(targets.numpy()[0], [0.75, 0.25, 0, 0])
    np.testing.assert_allclose(targets.numpy()[1], [0, 1, 0, 0])


def test_cutmix_gives_targets_by_the_area_that_was_cut():
    images, targets = mixing.cutmix(
        IMAGES, TARGETS, floats(0.5, 0, 1, 0.5), floats(0.5, 0.5, 0.5, 0), floats(0.5, 0.5, 0.5, 0)
    )
    foreign = (images.numpy()[..., 0] != IMAGES.numpy()[..., 0]).mean(axis=(1, 2))
    np.testing.assert_allclose(foreign, [0.25, 0, 1, 0.0625], atol=0.03)
    np.testing.assert_allclose(targets.numpy()[0, 1], foreign[0], atol=1e-6)
    # At a corner only a quarter of the box is inside, and only that counts.
    np.testing.assert_allclose(targets.numpy()[3, 2], foreign[3], atol=1e-6)


def test_erasing_fills_one_box_with_the_mean():
    image = tf.concat([tf.zeros([1, 10, 10, 3]), tf.fill([1, 10, 10, 3], 100.0)], axis=2)
    images = tf.repeat(image, 2, axis=0)
    erased = mixing.erase(images, floats(0.5, 0), floats(0.25, 0), floats(1, 0), floats(0, 0))
    assert (erased.numpy()[1] == image.numpy()[0]).all()
    assert (erased.numpy()[0, 5:, :5] == 50).all()
    assert (erased.numpy()[0, :5] == image.numpy()[0, :5]).all()
    assert (erased.numpy()[0, :, 5:] == image.numpy()[0, :, 5:]).all()
