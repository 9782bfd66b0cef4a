"""How the members' logits become the ensemble's probabilities.

One formula a method, in NumPy and in TensorFlow ops; and how well probabilities mean what they
say.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.combine import methods
    from ensemble.combine.calibrate import Reliability, fit_temperature, reliability
    from ensemble.combine.graph import combined_in_graph
    from ensemble.combine.methods import (
        METHODS,
        Combination,
        activate,
        finish,
        log_odds,
        normalized,
        rank_reference,
        represent,
        rescale,
        to_logits,
    )

__all__ = [
    "Combination",
    "METHODS",
    "Reliability",
    "activate",
    "combined_in_graph",
    "finish",
    "fit_temperature",
    "log_odds",
    "methods",
    "normalized",
    "rank_reference",
    "reliability",
    "represent",
    "rescale",
    "to_logits",
]

__getattr__, __dir__ = attach(__name__)
