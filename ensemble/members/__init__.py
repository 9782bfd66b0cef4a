"""Trained runs as members of an ensemble: found, read and checked.

A `Member` is one finished run. A `FoldGroup` is one entry of `--members`, the folds and refits of
one network, which share its weight: what users call a network. Which of these runs predict, and
which have held-out images to vouch for them, is said by two `Cast`s (`casting.py`).
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.members.casting import PredictWith, has_refits, predicting, vouchers, vouching
    from ensemble.members.runs import (
        Cast,
        FoldGroup,
        Member,
        check_contents,
        check_dataset,
        load_members,
    )
    from ensemble.members.views import AS_IT_IS, View, drawn_views

__all__ = [
    "AS_IT_IS",
    "Cast",
    "FoldGroup",
    "Member",
    "PredictWith",
    "View",
    "check_contents",
    "check_dataset",
    "drawn_views",
    "has_refits",
    "load_members",
    "predicting",
    "vouchers",
    "vouching",
]

__getattr__, __dir__ = attach(__name__)
