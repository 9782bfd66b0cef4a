"""What a section of the report is: a function from a finished ensemble to HTML."""

from collections.abc import Callable

from ensemble.config import EnsembleConfig
from ensemble.result import Result
from orchard.registry import Registry

Section = Callable[[EnsembleConfig, Result], str]

SECTIONS: Registry[Section] = Registry("report section", package="ensemble.output.sections")
