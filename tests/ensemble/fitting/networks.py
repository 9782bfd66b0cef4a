"""Networks that are made of noise, for tests of weights and of who judges them."""

import numpy as np

from ensemble.scoring.scores import regret
from trainer.evaluation import probabilities

TASK = "single_label"


def noisy_networks(noises, rows=300, classes=4, seed=0):
    """Probabilities [networks, rows, classes] of networks with independent errors, and targets."""
    generator = np.random.default_rng(seed)
    targets = np.eye(classes)[generator.integers(classes, size=rows)]
    logits = [targets * 2 + generator.normal(size=targets.shape) * noise for noise in noises]
    return np.stack([probabilities(one, TASK) for one in logits]), targets


def regret_of(metric, targets):
    """What weights are chosen by: how bad probabilities are."""
    return lambda p: regret(metric, p, targets, TASK)
