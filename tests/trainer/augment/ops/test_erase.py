import tensorflow as tf

from tests.trainer.augment.ops.mixed import floats
from trainer.augment.ops.erase import Erase


def test_erase_a_box_fills_it_with_the_mean_and_no_box_changes_nothing():
    image = tf.concat([tf.zeros([1, 10, 10, 3]), tf.fill([1, 10, 10, 3], 100.0)], axis=2)
    drawn = {
        "erase_height": floats(0.5, 0),
        "erase_width": floats(0.25, 0),
        "erase_y": floats(1, 0),
        "erase_x": floats(0, 0),
    }
    erased = Erase(erase=1).apply(tf.repeat(image, 2, axis=0), drawn, 0.0)
    assert (erased.numpy()[1] == image.numpy()[0]).all()
    assert (erased.numpy()[0, 5:, :5] == 50).all()
    assert (erased.numpy()[0, :5] == image.numpy()[0, :5]).all()
    assert (erased.numpy()[0, :, 5:] == image.numpy()[0, :, 5:]).all()
