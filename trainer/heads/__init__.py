"""Heads: from a backbone's features to logits, solved for all rows at once, in NumPy.

`head.py` says what a head is; `linear` and `mlp` are the two that there are. `solver` minimizes,
`choice` finds how strongly to hold the weights down. `trainer.features` makes networks of them.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.heads.choice import Choice, FeatureRows, choose_head, inner_folds
    from trainer.heads.head import HEADS, DenseLayer, Head, HeadLoss
    from trainer.heads.options import FROZEN, HeadOptions

__all__ = [
    "Choice",
    "DenseLayer",
    "FROZEN",
    "FeatureRows",
    "HEADS",
    "Head",
    "HeadLoss",
    "HeadOptions",
    "choose_head",
    "inner_folds",
]

__getattr__, __dir__ = attach(__name__)
