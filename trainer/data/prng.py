"""The hashes of `trainer.data.order` in TensorFlow ops, bit for bit: for pipelines without Python.

Runs on the host's CPU, inside tf.data or eagerly. Unlike TensorFlow's own stateless random numbers,
integer hashes are the same eagerly and compiled, and the same in NumPy.
"""

import tensorflow as tf

from trainer.data import order


def splitmix64(values: tf.Tensor) -> tf.Tensor:
    """Hashes uint64 values one by one, as `order.splitmix64`."""
    z = values + _constant(order.GAMMA)
    z = (z ^ _shifted(z, 30)) * _constant(order.MIX_1)
    z = (z ^ _shifted(z, 27)) * _constant(order.MIX_2)
    return z ^ _shifted(z, 31)


def mix_key(*parts: int | tf.Tensor) -> tf.Tensor:
    """Folds integers into uint64 keys, as `order.mix_key`; tensors give a key an element."""
    key = _constant(0)
    for part in parts:
        part = tf.cast(part, tf.uint64) if tf.is_tensor(part) else _constant(part % 2**64)
        key = splitmix64(key ^ part)
    return key


def uniforms(seed: int, epochs: tf.Tensor, gids: tf.Tensor, count: int) -> tf.Tensor:
    """Uniform numbers that are a pure function of (seed, epoch, gid, column).

    Args:
        seed: any integer.
        epochs: int64 [n].
        gids: int64 [n].
        count: columns.

    Returns:
        float32 [n, count], 0 <= u < 1.
    """
    keys = mix_key(seed, epochs, order.AUGMENT_SALT)
    rows = splitmix64(keys ^ tf.cast(gids, tf.uint64))
    columns = splitmix64(tf.cast(tf.range(count, dtype=tf.int64), tf.uint64))
    bits = splitmix64(rows[:, None] ^ columns[None, :])
    # 24 bits are what float32 holds without rounding up to 1.
    return tf.cast(_shifted(bits, 40), tf.float32) / float(2**24)


def _constant(value: int) -> tf.Tensor:
    return tf.constant(int(value), tf.uint64)


def _shifted(values: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.right_shift(values, _constant(bits))
