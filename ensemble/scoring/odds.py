"""Odds between probabilities, of which small ones say little. NumPy alone."""

import numpy as np

# 0.001 against 0.01 is no doubt.
_SHRINKAGE = 0.1
OVERWHELMING_ODDS = 4.0  # Such as 0.9 against 0.15.


def shrunken_odds(chosen: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Odds of one probability against another; those of two small ones are near 1."""
    return (chosen + _SHRINKAGE) / (other + _SHRINKAGE)
