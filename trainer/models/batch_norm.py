"""Batch normalization under strategies, in fine-tuning and in short runs.

keras.applications' moving averages (momentum 0.99; MobileNetV2 0.999) need thousands of steps to
settle, and under a strategy each replica keeps its own. So the moments are synchronized, and where
the averages cannot have settled they are re-estimated before an evaluation ("precise BN":
Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3).
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from trainer.keras_module import keras

_SETTLED_TIME_CONSTANTS = 50


def layers_of(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """All batch-normalization layers, nested ones included."""
    found = network._flatten_layers(include_self=False, recursive=True)
    return [layer for layer in found if isinstance(layer, keras.layers.BatchNormalization)]


def synchronize(network: keras.Model, synchronized: bool) -> None:
    """Take the moments over the batches of all replicas; call it before the first trace."""
    for layer in layers_of(network):
        layer.synchronized = synchronized


def freeze(network: keras.Model) -> None:
    """Normalize by the loaded statistics, also in training; call it before the first trace."""
    for layer in layers_of(network):
        layer.trainable = False


def averages_settle(network: keras.Model, num_steps: int) -> bool:
    """Whether `num_steps` updates suffice for the moving averages to forget their start.

    An average of momentum m has a time constant of 1 / (1 - m) steps. It also lags behind weights
    that move; fifty time constants leave that below the noise of the batches.
    """
    momenta = [layer.momentum for layer in layers_of(network) if layer.trainable]
    return all(num_steps * (1 - m) >= _SETTLED_TIME_CONSTANTS for m in momenta)


def trained_layers(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The layers whose statistics training changes."""
    return [layer for layer in layers_of(network) if layer.trainable]


@contextlib.contextmanager
def moments_of_batch(layers: Iterable[keras.layers.BatchNormalization]) -> Iterator[None]:
    """In this context a traced training-mode forward pass leaves its own moments in the layers.

    Keras reads `momentum` when it traces; 0 makes moving_mean and moving_variance the moments of
    the one batch, exactly.
    """
    momenta = [(layer, layer.momentum) for layer in layers]
    try:
        for layer, _ in momenta:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in momenta:
            layer.momentum = momentum


def moments(layers: list[keras.layers.BatchNormalization]) -> list[tf.Tensor]:
    """The moving means of the layers, then their moving variances: what `estimate` takes."""
    means = [layer.moving_mean.value for layer in layers]
    return [tf.convert_to_tensor(v) for v in means + [one.moving_variance.value for one in layers]]


def estimate(
    layers: list[keras.layers.BatchNormalization], batches: Iterable[Sequence[np.ndarray]]
) -> None:
    """Set the layers' statistics to the moments of all batches together.

    Args:
        layers: batch-normalization layers.
        batches: `moments` of each batch after the network ran on it in training mode, traced under
            `moments_of_batch`; the batches are of equal size.
    """
    found = [[np.asarray(one, np.float64) for one in batch] for batch in batches]
    for i, layer in enumerate(layers):
        means = [batch[i] for batch in found]
        variances = [batch[len(layers) + i] for batch in found]
        # Law of total variance: within batches, plus between their means.
        variance = np.mean(variances, axis=0) + np.var(means, axis=0)
        layer.moving_mean.assign(np.mean(means, axis=0).astype(np.float32))
        layer.moving_variance.assign(variance.astype(np.float32))
