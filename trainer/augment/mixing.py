"""Erased boxes, mixup and cutmix of image batches.

An image's partner is its neighbour: images 0 and 1 of a batch, 2 and 3, and so on. The order of a
global batch is random and the same for any number of hosts, and each host and replica gets a
contiguous part, so as long as a replica's part is even the pairs are the same for any number of
them, and nothing needs to be exchanged. (Pairing an image with one of the whole batch would move
every image between chips.)
"""

import tensorflow as tf

from orchard.errors import OrchardError


def erase(
    images: tf.Tensor, height: tf.Tensor, width: tf.Tensor, y: tf.Tensor, x: tf.Tensor
) -> tf.Tensor:
    """Fills one box an image with the image's mean colour (Zhong et al. 2020, "Random Erasing").

    Args:
        images: float32 [batch, height, width, 3].
        height: float32 [batch], part of the image's height; 0 erases nothing.
        width: float32 [batch], part of the image's width.
        y: float32 [batch], the box's top as a part of the room that it leaves.
        x: float32 [batch], the box's left, likewise.
    """
    rows = _inside(images.shape[1], y * (1 - height), y * (1 - height) + height)
    columns = _inside(images.shape[2], x * (1 - width), x * (1 - width) + width)
    mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    return tf.where(_box(rows, columns), mean, images)


def mixup(images: tf.Tensor, targets: tf.Tensor, ratio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends images and targets with their partners' (Zhang et al. 2018, "mixup", equation 1).

    Args:
        images: float32 [batch, height, width, 3].
        targets: float32 [batch, num_classes].
        ratio: float32 [batch], weight of the image itself.
    """
    own, own_targets = ratio[:, None, None, None], ratio[:, None]
    images = own * images + (1 - own) * partners(images)
    return images, own_targets * targets + (1 - own_targets) * partners(targets)


def cutmix(
    images: tf.Tensor, targets: tf.Tensor, size: tf.Tensor, y: tf.Tensor, x: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts a box of the partner into each image; targets by area (Yun et al. 2019, "CutMix").

    Args:
        images: float32 [batch, height, width, 3].
        targets: float32 [batch, num_classes].
        size: float32 [batch], side of the box as a part of the image's; 0 cuts nothing.
        y: float32 [batch], the box's centre as a part of the height; what leaves the image is cut.
        x: float32 [batch], likewise.
    """
    rows = _inside(images.shape[1], y - size / 2, y + size / 2)
    columns = _inside(images.shape[2], x - size / 2, x + size / 2)
    box = _box(rows, columns)
    area = tf.reduce_mean(tf.cast(box, tf.float32), axis=[1, 2, 3])[:, None]
    images = tf.where(box, partners(images), images)
    return images, (1 - area) * targets + area * partners(targets)


def partners(values: tf.Tensor) -> tf.Tensor:
    """Swaps the rows of every pair: [a, b, c, d] -> [b, a, d, c]."""
    shape = values.shape.as_list()
    check_even(shape[0])
    pairs = tf.reshape(values, [shape[0] // 2, 2, *shape[1:]])
    return tf.reshape(tf.reverse(pairs, [1]), shape)


def check_even(batch_size: int) -> None:
    """Raises OrchardError for a batch that has no pairs."""
    if batch_size % 2:
        raise OrchardError(
            f"mixup and cutmix pair a replica's images; its batch is {batch_size}: make it even"
        )


def _inside(size: int, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Which pixels' centres lie in low..high, parts of the size; bool [batch, size]."""
    centres = (tf.range(size, dtype=tf.float32) + 0.5) / size
    return (centres[None, :] >= low[:, None]) & (centres[None, :] < high[:, None])


def _box(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    return (rows[:, :, None] & columns[:, None, :])[..., None]
