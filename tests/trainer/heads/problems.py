"""Features of classes that overlap, and targets of every kind."""

import numpy as np

from orchard.formats import Task


def features_and_targets(num_rows=80, num_features=6, num_classes=3, seed=0):
    """Standardized float32 features, and one-hot targets that depend on them."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((num_rows, num_features))
    scores = features @ rng.standard_normal((num_features, num_classes))
    labels = np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)
    features = (features - features.mean(0)) / features.std(0)
    return features.astype(np.float32), np.eye(num_classes, dtype=np.float32)[labels]


def targets_of(kind: str, one_hot: np.ndarray) -> tuple[Task, np.ndarray]:
    """Targets of one label, soft ones, or of many labels."""
    if kind == "one label":
        return Task.SINGLE_LABEL, one_hot
    noise = np.random.default_rng(1).random(one_hot.shape).astype(np.float32)
    if kind == "soft":
        soft = 0.7 * one_hot + 0.3 * noise / noise.sum(axis=1, keepdims=True)
        return Task.SINGLE_LABEL, soft
    return Task.MULTI_LABEL, np.maximum(one_hot, (noise > 0.7).astype(np.float32))
