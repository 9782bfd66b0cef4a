"""Members one after the other: an image leaves as soon as those that have seen it are sure.

`cascade.py` is a fitted cascade, in NumPy and in the exported model; `confidence.py` says what sure
means. `choose.py` is how one is found on held-out images and whether it is to be trusted;
`search.py` holds the exact search and the greedy one, among the plans of `plans.py`.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.cascade.cascade import Cascade, Stage
    from ensemble.cascade.choose import (
        CascadeChoice,
        CurvePoint,
        FoundCascade,
        Wish,
        choose_cascade,
    )
    from ensemble.cascade.confidence import Confidence, doubt, doubt_in_graph

__all__ = [
    "Cascade",
    "CascadeChoice",
    "Confidence",
    "CurvePoint",
    "FoundCascade",
    "Stage",
    "Wish",
    "choose_cascade",
    "doubt",
    "doubt_in_graph",
]

__getattr__, __dir__ = attach(__name__)
