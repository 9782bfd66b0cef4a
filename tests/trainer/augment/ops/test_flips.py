import numpy as np
import tensorflow as tf

from tests.trainer.datasets import smooth_image
from trainer.augment.ops.flips import Flips


def test_flips_both_mirror_each_image_by_its_own_flags():
    image = smooth_image(0, 12, 16)
    images = tf.constant(np.repeat(image[None].astype(np.float32), 4, axis=0))
    drawn = {
        "flip_horizontal": tf.constant([0.0, 1.0, 0.0, 1.0]),
        "flip_vertical": tf.constant([0.0, 0.0, 1.0, 1.0]),
    }
    flipped = Flips(flips="both").apply(images, drawn, 0.0).numpy()
    for found, expected in zip(
        flipped, (image, image[:, ::-1], image[::-1], image[::-1, ::-1]), strict=True
    ):
        assert (found == expected).all()
