import numpy as np
import tensorflow as tf

from trainer.data import order, prng


def test_hashes_are_numpys_bit_for_bit():
    values = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    assert (prng.splitmix64(tf.constant(values)).numpy() == order.splitmix64(values)).all()
    assert prng.mix_key(-3, 4, 5).numpy() == order.mix_key(-3, 4, 5)
    epochs = tf.constant([0, 9], tf.int64)
    assert prng.mix_key(1, epochs, 2).numpy().tolist() == [
        order.mix_key(1, 0, 2),
        order.mix_key(1, 9, 2),
    ]


def test_uniforms_are_pure_and_uniform():
    gids = tf.range(4000, dtype=tf.int64)
    eager = prng.uniforms(1, tf.zeros_like(gids), gids, 5)
    graph = tf.function(lambda g: prng.uniforms(1, tf.zeros_like(g), g, 5))(gids)
    assert (eager.numpy() == graph.numpy()).all()
    assert (
        eager[7:9].numpy() == prng.uniforms(1, tf.zeros([2], tf.int64), gids[7:9], 5).numpy()
    ).all()
    numbers = eager.numpy()
    assert numbers.min() >= 0 and numbers.max() < 1
    counts = np.stack([np.histogram(column, 10, (0, 1))[0] for column in numbers.T])
    assert abs(counts - 400).max() < 100
    assert abs(np.corrcoef(numbers.T) - np.eye(5)).max() < 0.06
