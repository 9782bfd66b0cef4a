"""Logits of networks of which some are better than others."""

import numpy as np

from orchard.formats import Task


def some_networks(networks, rows, *, classes=3, seed=0, task=Task.SINGLE_LABEL):
    """Logits float64 [networks, rows, classes], the last network the best; and targets."""
    generator = np.random.default_rng(seed)
    if task == Task.SINGLE_LABEL:
        targets = np.eye(classes)[generator.integers(classes, size=rows)]
    else:
        targets = (generator.random((rows, classes)) < 0.4).astype(float)
    hardness = generator.exponential(1.0, (rows, 1))
    noise = generator.normal(size=(networks, rows, classes)) * hardness
    quality = np.linspace(1.0, 2.0, networks)[:, np.newaxis, np.newaxis]
    return (targets - 0.5) * 4 * quality + noise * 2, targets
