"""Threads and processes that end when the program ends.

Start with `in_parallel`, which maps a function over a list. `Background` works on what is finished
while more is being made, and bounds what waits; `DaemonExecutor` is the pool under both.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from orchard.parallel.processes import die_with_parent, keep_freed_memory
    from orchard.parallel.threads import REQUEST_THREADS, Background, DaemonExecutor, in_parallel

__all__ = [
    "REQUEST_THREADS",
    "Background",
    "DaemonExecutor",
    "die_with_parent",
    "in_parallel",
    "keep_freed_memory",
]

__getattr__, __dir__ = attach(__name__)
