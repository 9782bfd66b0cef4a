"""Logits and targets of both tasks."""

import numpy as np


def one_hot(labels, num_classes):
    return np.eye(num_classes, dtype=np.float32)[labels]


def single():
    """Logits, targets and labels of 200 rows in 4 classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    logits = rng.normal(size=(200, 4)) + 1.5 * one_hot(labels, 4)
    return logits.astype(np.float32), one_hot(labels, 4), labels


def multi():
    """Logits and targets of 150 rows with any of 5 classes."""
    rng = np.random.default_rng(1)
    targets = (rng.random((150, 5)) < 0.3).astype(np.float32)
    return (rng.normal(size=(150, 5)) + 2 * targets - 1.2).astype(np.float32), targets
