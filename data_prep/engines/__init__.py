"""Engines map one function over many tasks: a process pool, or Apache Beam."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.engines.base import Engine, LocalEngine, open_engine

__all__ = [
    "Engine",
    "LocalEngine",
    "open_engine",
]

__getattr__, __dir__ = attach(__name__)
