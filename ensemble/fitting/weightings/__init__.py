"""Ways to find the networks' weights on held-out rows, one a file: what `--weights` names.

`weighting.py` says what one is: from a `Sample` of held-out rows to `Weights`. `uniform.py` is the
shortest.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.fitting.weightings.greedy import greedy_selection
    from ensemble.fitting.weightings.weighting import (
        WEIGHTINGS,
        Sample,
        Selection,
        Weighting,
        Weights,
        uniform_weights,
    )

__all__ = [
    "Sample",
    "Selection",
    "WEIGHTINGS",
    "Weighting",
    "Weights",
    "greedy_selection",
    "uniform_weights",
]

__getattr__, __dir__ = attach(__name__)
