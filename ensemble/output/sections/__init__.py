"""Sections of the report, one a module: what an ensemble was asked beyond a mean, and its answer.

A section is a function of config and result that gives HTML, or "" where there is nothing to say;
`html.render` of a template of its own makes it. Sections stand after the weights, in the order of
their names.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.output.sections.section import SECTIONS, Section

__all__ = ["SECTIONS", "Section"]

__getattr__, __dir__ = attach(__name__)
