"""Cascades of networks with uniform weights, searched on half of the test images.

The halves are swapped, so that each image is predicted by a cascade that was searched without it.
The networks saw all training images: nothing else is held out that thresholds could be found on.
"""

import numpy as np

from ensemble.cascade import CascadeChoice, Wish, choose_cascade
from ensemble.combine import COMBINERS, Combination
from ensemble.fitting import HeldOut
from ensemble.members import FoldGroup
from orchard.formats import Task


def halves(targets: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and rows to score on, each half of every class: int64.

    Args:
        targets: float [images, classes], one-hot.
        seed: of the draw.
    """
    generator = np.random.default_rng(seed)
    order = np.lexsort((generator.random(len(targets)), targets.argmax(axis=1)))
    return np.sort(order[::2]), np.sort(order[1::2])


def uniform(count: int) -> Combination:
    """So many networks with one weight, not calibrated."""
    combiner = COMBINERS["logits"](Task.SINGLE_LABEL)
    weights = np.full(count, 1 / count)
    return Combination((combiner,) * count, weights, np.ones((count, 1)), np.ones(1))


def choose(
    logits: np.ndarray,
    ids: np.ndarray,
    targets: np.ndarray,
    flops: np.ndarray,
    wish: Wish,
    *,
    metric: str,
    seed: int,
) -> CascadeChoice:
    """What a search on these images comes to.

    Args:
        logits: float32 [networks, images, classes].
        ids: unicode [images].
        targets: float32 [images, classes], one-hot.
        flops: int64 [networks], of one image.
        wish: what is asked for.
        metric: what judges.
        seed: of the search's parts.
    """
    count = len(logits)
    networks = tuple(FoldGroup(f"network {at}", (at,)) for at in range(count))
    every = (np.arange(len(ids)),) * count
    held_out = HeldOut(ids, targets, every, tuple(logits), networks)
    combination = uniform(count)
    return choose_cascade(
        combination,
        combination.weights,
        networks,
        flops.tolist(),
        held_out,
        held_out.representations(np.ones((count, 1)), combination.combiner),
        wish=wish,
        calibrate=False,
        metric=metric,
        seed=seed,
    )


def cross_fitted(
    logits: np.ndarray, ids: np.ndarray, targets: np.ndarray, flops: np.ndarray, max_flops: float
) -> tuple[np.ndarray, float]:
    """Predictions by cascades within a cost: each half's thresholds are found on the other half.

    Args:
        logits: float32 [networks, images, classes].
        ids: unicode [images].
        targets: float32 [images, classes], one-hot.
        flops: int64 [networks], of one image.
        max_flops: of an image, mean over those that a search sees.

    Returns:
        probabilities float64 [images, classes], and the mean FLOPs of an image.
    """
    wish = Wish(max_share=max_flops / float(flops.sum()))
    parts = halves(targets, seed=0)
    probabilities, spent = np.empty(targets.shape), 0.0
    for fit, rest in (parts, parts[::-1]):
        found = choose(
            logits[:, fit], ids[fit], targets[fit], flops, wish, metric="log_loss", seed=0
        ).found
        if found is None:
            raise SystemExit(f"no cascade costs {wish.max_share:.2f} of all networks")
        probabilities[rest], left = found.cascade.staged(logits[:, rest])
        of_stage = [flops[list(stage.members)].sum() for stage in found.cascade.stages]
        spent += float(np.cumsum(of_stage)[left].sum())
    return probabilities, spent / len(ids)
