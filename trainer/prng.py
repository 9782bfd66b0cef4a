"""Hashes of (seed, epoch, record): what order and augmentation have for random numbers.

Integer hashes are the same eagerly and compiled, on every platform and in every version of NumPy
and TensorFlow, which their own random numbers are not. The functions whose names begin with `tf_`
give, in TensorFlow ops, what their namesakes give in NumPy, bit for bit: for pipelines without
Python.
"""

from typing import TYPE_CHECKING

import numpy as np

from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

# What a hash is for, so that no two uses share their numbers.
BLOCK_SALT, WINDOW_SALT, AUGMENT_SALT = 1, 2, 3
GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def splitmix64(values: np.ndarray) -> np.ndarray:
    """Hashes uint64 values one by one (Steele et al. 2014, "Fast splittable PRNGs")."""
    with np.errstate(over="ignore"):
        z = np.asarray(values, np.uint64) + GAMMA
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        return z ^ (z >> np.uint64(31))


def tf_splitmix64(values: "tf.Tensor") -> "tf.Tensor":
    """`splitmix64` of a uint64 tensor."""
    z = values + _constant(GAMMA)
    z = (z ^ _shifted(z, 30)) * _constant(_MIX_1)
    z = (z ^ _shifted(z, 27)) * _constant(_MIX_2)
    return z ^ _shifted(z, 31)


def mix_key(*parts: int) -> np.uint64:
    """Folds integers into one uint64 key, in which the order of the parts matters."""
    key = np.zeros((), np.uint64)
    for part in parts:
        key = splitmix64(key ^ np.uint64(part % 2**64))
    return np.uint64(key)


def tf_mix_key(*parts: "int | tf.Tensor") -> "tf.Tensor":
    """`mix_key` of integers; tensors among them give a key for each of their elements."""
    key = _constant(0)
    for part in parts:
        part = tf.cast(part, tf.uint64) if tf.is_tensor(part) else _constant(part % 2**64)
        key = tf_splitmix64(key ^ part)
    return key


def tf_uniforms(key: "tf.Tensor", gids: "tf.Tensor", count: int) -> "tf.Tensor":
    """Uniform numbers that are a pure function of (key, gid, column).

    Args:
        key: uint64 [n], or one for all, from `tf_mix_key`.
        gids: int64 [n], the records.
        count: columns.

    Returns:
        float32 [n, count], 0 <= u < 1.
    """
    rows = tf_splitmix64(key ^ tf.cast(gids, tf.uint64))
    columns = tf_splitmix64(tf.cast(tf.range(count, dtype=tf.int64), tf.uint64))
    bits = tf_splitmix64(rows[:, None] ^ columns[None, :])
    # 24 bits are what float32 holds without rounding up to 1.
    return tf.cast(_shifted(bits, 40), tf.float32) / float(2**24)


def _constant(value: "int | np.uint64") -> "tf.Tensor":
    return tf.constant(int(value), tf.uint64)


def _shifted(values: "tf.Tensor", bits: int) -> "tf.Tensor":
    return tf.bitwise.right_shift(values, _constant(bits))
