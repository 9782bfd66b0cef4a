"""Threads and processes that end when the program ends."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from orchard.parallel import background
    from orchard.parallel.background import Background
    from orchard.parallel.processes import die_with_parent

__all__ = [
    "Background",
    "background",
    "die_with_parent",
]

__getattr__, __dir__ = attach(__name__)
