"""Rows dealt out into parts, for fits that leave one part out."""

import numpy as np


def spread_parts(targets: np.ndarray, num_parts: int, seed: int) -> np.ndarray:
    """The part of each row, int64 [rows]: every class is spread over the parts, rare or not.

    Args:
        targets: float [rows, classes].
        num_parts: how many there are to be.
        seed: of the order within a class.
    """
    _, stratum = np.unique(targets >= 0.5, axis=0, return_inverse=True)
    order = np.lexsort((np.random.default_rng(seed).random(len(targets)), stratum.ravel()))
    parts = np.empty(len(targets), int)
    parts[order] = np.arange(len(targets)) % num_parts
    return parts
