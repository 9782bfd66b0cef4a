"""Engines call one function on many items in parallel, and know nothing of images.

`base.Engine` is the contract; `pool` keeps it with processes on this machine, `beam` with Apache
Beam. `open_engine` makes the one that `--engine` names.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.engines.base import Engine
    from data_prep.engines.opening import open_engine
    from data_prep.engines.pool import LocalEngine

__all__ = [
    "Engine",
    "LocalEngine",
    "open_engine",
]

__getattr__, __dir__ = attach(__name__)
