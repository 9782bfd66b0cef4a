import numpy as np
import tensorflow as tf

from trainer import prng


def test_splitmix64_consecutive_states_gives_the_published_sequence():
    # First outputs of the reference implementation for seed 1234567 (its state grows by GAMMA).
    with np.errstate(over="ignore"):
        states = np.uint64(1234567) + np.arange(3, dtype=np.uint64) * prng.GAMMA
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert prng.splitmix64(states).tolist() == expected


def test_tf_splitmix64_and_tf_mix_key_any_values_equal_numpy_bit_for_bit():
    values = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    assert (prng.tf_splitmix64(tf.constant(values)).numpy() == prng.splitmix64(values)).all()
    assert prng.tf_mix_key(-3, 4, 5).numpy() == prng.mix_key(-3, 4, 5)
    epochs = tf.constant([0, 9], tf.int64)
    assert prng.tf_mix_key(1, epochs, 2).numpy().tolist() == [
        prng.mix_key(1, 0, 2),
        prng.mix_key(1, 9, 2),
    ]


def test_tf_uniforms_eager_compiled_or_of_some_rows_gives_the_same_uniform_numbers():
    key, gids = prng.tf_mix_key(1, 0, 3), tf.range(4000, dtype=tf.int64)
    eager = prng.tf_uniforms(key, gids, 5)
    graph = tf.function(lambda g: prng.tf_uniforms(key, g, 5))(gids)
    assert (eager.numpy() == graph.numpy()).all()
    assert (eager[7:9].numpy() == prng.tf_uniforms(key, gids[7:9], 5).numpy()).all()
    numbers = eager.numpy()
    assert numbers.min() >= 0 and numbers.max() < 1
    counts = np.stack([np.histogram(column, 10, (0, 1))[0] for column in numbers.T])
    assert abs(counts - 400).max() < 100
    assert abs(np.corrcoef(numbers.T) - np.eye(5)).max() < 0.06
