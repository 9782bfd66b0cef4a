"""Trained runs as members of an ensemble: found, read and checked.

A `Member` is one finished run. A `FoldGroup` is one entry of `--members`, the folds of one network,
which share its weight: what users call a network.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.members.runs import (
        FoldGroup,
        Member,
        check_contents,
        check_dataset,
        load_members,
    )
    from ensemble.members.views import AS_IT_IS, View, drawn_views

__all__ = [
    "AS_IT_IS",
    "FoldGroup",
    "Member",
    "View",
    "check_contents",
    "check_dataset",
    "drawn_views",
    "load_members",
]

__getattr__, __dir__ = attach(__name__)
