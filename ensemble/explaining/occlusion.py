"""Occlusion: which places a model's answer hangs on. It needs nothing but answers.

Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks" (arXiv 1311.2901),
section 4.2: a plain patch covers one place after the other; where the class's score falls, the
model looked. The patch has the image's mean color, so that it is neither light nor dark.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ensemble.combine import log_odds
from orchard.formats import Task

# A patch covers a fifth of each side, and moves by half of itself: 9 x 9 places, 82 answers.
_PATCHES_A_SIDE = 5
_STEPS_A_PATCH = 2


def occlusion_heat(
    logits_of: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    classes: Sequence[int],
    task: Task,
    batch_size: int = 32,
) -> np.ndarray:
    """How far the log odds of each class fall where the image is covered.

    A point's heat is the mean over the patches that cover it; a rise counts as no fall.

    Args:
        logits_of: images uint8 [n, height, width, 3] to logits [n, classes].
        image: uint8 [height, width, 3].
        classes: columns of the logits.
        task: what the labels mean.
        batch_size: images at a time.

    Returns:
        float32 [len(classes), height, width], >= 0.
    """
    height, width = image.shape[:2]
    windows = [(top, left) for top in _windows(height) for left in _windows(width)]
    mean = image.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    covered = np.repeat(image[None], len(windows) + 1, axis=0)
    for one, (top, left) in zip(covered[1:], windows, strict=True):
        one[top, left] = mean
    logits = np.concatenate(
        [logits_of(covered[at : at + batch_size]) for at in range(0, len(covered), batch_size)]
    )
    odds = log_odds(logits.astype(np.float64), task)[:, list(classes)]
    falls = np.maximum(odds[0] - odds[1:], 0.0)
    heat, count = np.zeros((len(classes), height, width)), np.zeros((height, width))
    for fall, (top, left) in zip(falls, windows, strict=True):
        heat[:, top, left] += fall[:, None, None]
        count[top, left] += 1
    return (heat / count).astype(np.float32)


def _windows(length_px: int) -> list[slice]:
    """Where the patch is put along one side; together they cover all of it."""
    side = max(1, round(length_px / _PATCHES_A_SIDE))
    steps = max(1, round((length_px - side) / max(1, side / _STEPS_A_PATCH)))
    starts = np.unique(np.linspace(0, length_px - side, steps + 1).round().astype(int))
    return [slice(start, start + side) for start in starts.tolist()]
