"""Finished runs side by side: what `trainer.summary` says of a folder beyond its table.

`entries` finds the runs and reads them; `pairs` scores those that were judged by the same images
and compares any two of them; `page` draws it all. `hparams` hands the runs to TensorBoard. Nothing
here needs TensorFlow.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.comparison.entries import (
        Entry,
        differing,
        differing_flags,
        find_runs,
        read_entries,
    )
    from trainer.comparison.hparams import write_hparams
    from trainer.comparison.page import write_page
    from trainer.comparison.pairs import Comparison, Gain, Scored, compare

__all__ = [
    "Comparison",
    "Entry",
    "Gain",
    "Scored",
    "compare",
    "differing",
    "differing_flags",
    "find_runs",
    "read_entries",
    "write_hparams",
    "write_page",
]

__getattr__, __dir__ = attach(__name__)
