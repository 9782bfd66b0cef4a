"""How the members' logits become the ensemble's probabilities.

A combiner is a class in one file: `logits.py` is the shortest, `combiner.py` says what is asked of
it. `Combination` applies one to all members with their weights and temperatures, in NumPy and in
the exported model. `calibrate.py` fits temperatures. Nothing here imports TensorFlow until a graph
is built.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.combine.activation import (
        activate,
        activate_in_graph,
        log_odds,
        log_odds_in_graph,
        rescale,
        to_logits,
        to_logits_in_graph,
    )
    from ensemble.combine.calibrate import fit_temperature
    from ensemble.combine.combination import Combination, MemberBatch, Rule
    from ensemble.combine.combiner import COMBINERS, Combiner
    from ensemble.combine.log_linear import LogLinear

__all__ = [
    "COMBINERS",
    "Combination",
    "Combiner",
    "LogLinear",
    "MemberBatch",
    "Rule",
    "activate",
    "activate_in_graph",
    "fit_temperature",
    "log_odds",
    "log_odds_in_graph",
    "rescale",
    "to_logits",
    "to_logits_in_graph",
]

__getattr__, __dir__ = attach(__name__)
