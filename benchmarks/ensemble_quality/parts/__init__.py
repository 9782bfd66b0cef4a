"""The parts of the benchmark: each module of this folder registers its own."""

from collections.abc import Callable

from orchard.registry import Registry

PARTS: Registry[Callable[[], None]] = Registry("part", package="benchmarks.ensemble_quality.parts")
