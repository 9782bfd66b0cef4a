"""Batch normalisation under strategies, in fine-tuning and in short runs.

keras.applications' moving averages (momentum 0.99; MobileNetV2 0.999) need thousands of steps to
settle, and under a strategy each replica keeps its own. So the moments are synchronised, and where
the averages cannot have settled they are re-estimated before an evaluation ("precise BN":
Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3).
"""

from collections.abc import Callable, Iterable

import keras
import numpy as np

_SETTLED_TIME_CONSTANTS = 50


def layers_of(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """All batch-normalisation layers, nested ones included."""
    found = network._flatten_layers(include_self=False, recursive=True)
    return [layer for layer in found if isinstance(layer, keras.layers.BatchNormalization)]


def synchronize(network: keras.Model, synchronized: bool) -> None:
    """Take the moments over the batches of all replicas; call it before the first trace."""
    for layer in layers_of(network):
        layer.synchronized = synchronized


def freeze(network: keras.Model) -> None:
    """Normalise by the loaded statistics, also in training; call it before the first trace."""
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


class MomentsOfBatch:
    """While active, a traced training-mode forward pass leaves its own moments in the layers.

    Keras reads `momentum` when it traces; 0 makes moving_mean and moving_variance the moments of
    the one batch, exactly.
    """

    def __init__(self, layers: Iterable[keras.layers.BatchNormalization]):
        self._layers = list(layers)
        self._momenta = [layer.momentum for layer in self._layers]

    def __enter__(self) -> None:
        for layer in self._layers:
            layer.momentum = 0.0

    def __exit__(self, *_) -> None:
        for layer, momentum in zip(self._layers, self._momenta, strict=True):
            layer.momentum = momentum


def estimate(
    layers: list[keras.layers.BatchNormalization],
    batches: Iterable,
    forward: Callable,
) -> None:
    """Set the layers' statistics to the moments of all `batches` together.

    Args:
        layers: batch-normalisation layers.
        batches: inputs of `forward`, of equal size.
        forward: runs the network on a batch in training mode, traced under `MomentsOfBatch`.
    """
    means = [[] for _ in layers]
    variances = [[] for _ in layers]
    for batch in batches:
        forward(batch)
        for i, layer in enumerate(layers):
            means[i].append(np.asarray(layer.moving_mean.numpy(), np.float64))
            variances[i].append(np.asarray(layer.moving_variance.numpy(), np.float64))
    for i, layer in enumerate(layers):
        mean = np.mean(means[i], axis=0)
        # Law of total variance: within batches, plus between their means.
        variance = np.mean(variances[i], axis=0) + np.var(means[i], axis=0)
        layer.moving_mean.assign(mean.astype(np.float32))
        layer.moving_variance.assign(variance.astype(np.float32))
