"""Weights and temperatures, fitted on logits of images that no member trained on.

Start with `fitter.py`: `fit_combination` is all that an ensemble learns. `held_out.py` brings the
members' held-out logits together and refuses leakage; `weightings/` has the ways to find weights,
one a file; `trials.py` judges what they find on rows that no fit has seen.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.fitting.change import ChangeVerdict, judge_change
    from ensemble.fitting.fitter import (
        Fit,
        HeldOutPredictions,
        fit_combination,
        is_learned,
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
    from ensemble.fitting.parts import spread_parts
    from ensemble.fitting.trials import (
        LearnedWeights,
        Trial,
        Verdict,
        cross_fitted,
        guard,
        learn_weights,
        weighting_names,
    )
    from ensemble.fitting.weightings import (
        WEIGHTINGS,
        Sample,
        Weighting,
        Weights,
        greedy_selection,
    )

__all__ = [
    "ChangeVerdict",
    "Fit",
    "HeldOut",
    "HeldOutPredictions",
    "LearnedWeights",
    "OUT_OF_FOLD",
    "Sample",
    "Trial",
    "Verdict",
    "WEIGHTINGS",
    "Weighting",
    "Weights",
    "assemble_held_out",
    "check_every_member",
    "cross_fitted",
    "fit_combination",
    "greedy_selection",
    "guard",
    "held_out_split_names",
    "is_learned",
    "judge_change",
    "learn_weights",
    "out_of_fold",
    "overlapping",
    "own_split",
    "parse_weights",
    "refuse_leakage",
    "spread_parts",
    "weight_numbers",
    "weighting_names",
]

__getattr__, __dir__ = attach(__name__)
