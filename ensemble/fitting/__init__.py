"""Weights and temperatures, fitted on logits of images that no member trained on.

Start with `fitter.py`: `fit_combination` is all that an ensemble learns. `held_out.py` brings the
members' held-out logits together and refuses leakage; `weights.py` holds the greedy selection and
the guard that judges it on rows that no fit has seen.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.fitting.change import ChangeVerdict, judge_change
    from ensemble.fitting.fitter import (
        Fit,
        HeldOutPredictions,
        LearnedWeights,
        fit_combination,
        parse_weights,
        weight_numbers,
    )
    from ensemble.fitting.held_out import (
        OUT_OF_FOLD,
        HeldOut,
        assemble_held_out,
        check_every_member,
        held_out_split_names,
        out_of_fold,
        overlapping,
        own_split,
        refuse_leakage,
    )
    from ensemble.fitting.weights import greedy_selection, guard, spread_parts

__all__ = [
    "ChangeVerdict",
    "Fit",
    "HeldOut",
    "HeldOutPredictions",
    "LearnedWeights",
    "OUT_OF_FOLD",
    "assemble_held_out",
    "check_every_member",
    "fit_combination",
    "greedy_selection",
    "guard",
    "held_out_split_names",
    "overlapping",
    "judge_change",
    "out_of_fold",
    "own_split",
    "parse_weights",
    "refuse_leakage",
    "spread_parts",
    "weight_numbers",
]

__getattr__, __dir__ = attach(__name__)
