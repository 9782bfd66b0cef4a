import numpy as np
import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from tests.trainer.datasets import smooth_image
from trainer.augment.ops.quarter_turns import QuarterTurns

TURNS = {"quarter_turns": tf.constant([0.0, 1.0, 2.0, 3.0])}


def batch(height: int, width: int) -> np.ndarray:
    return np.repeat(smooth_image(0, height, width)[None].astype(np.float32), 4, axis=0)


def test_quarter_turns_of_squares_are_numpys():
    images = batch(16, 16)
    turned = QuarterTurns(quarter_turns=True).apply(tf.constant(images), TURNS, 0.0).numpy()
    for turns in range(4):
        assert (turned[turns] == np.rot90(images[turns], turns)).all()


def test_quarter_turns_of_other_images_are_refused():
    with pytest.raises(OrchardError, match="square images, received 16x24"):
        QuarterTurns(quarter_turns=True).apply(tf.constant(batch(16, 24)), TURNS, 0.0)
