"""Prediction sets: the classes that an image may have, with a promise about how often it does.

A method is a class in one file: `lac.py` is the shortest, `method.py` says what is asked of it.
`raps.py` is the default for one label, `risk_control.py` for many. `calibrate.py` fits one on
held-out images and measures what it keeps of its promise on images that it was not fitted on.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.conformal.calibrate import (
        ClassCoverage,
        ConformalSets,
        calibrate_sets,
        check_level,
        method_for,
    )
    from ensemble.conformal.method import SET_METHODS, SetMethod

__all__ = [
    "ClassCoverage",
    "ConformalSets",
    "SET_METHODS",
    "SetMethod",
    "calibrate_sets",
    "check_level",
    "method_for",
]

__getattr__, __dir__ = attach(__name__)
