"""Trained runs as members of an ensemble: found, read and checked."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.members.runs import (
        InputSpec,
        Member,
        Network,
        check_contents,
        check_dataset,
        load_members,
    )

__all__ = [
    "InputSpec",
    "Member",
    "Network",
    "check_contents",
    "check_dataset",
    "load_members",
]

__getattr__, __dir__ = attach(__name__)
