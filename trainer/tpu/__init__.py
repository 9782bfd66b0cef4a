"""Knowing before a TPU is rented: compile the training step for one that is not there.

Start with `results.py`: a config and a question in, one answer a topology out. `lowering.py` makes
the program, `compiler.py` has libtpu compile it in a process of its own, `search.py` looks for the
largest batch, `cost_plan.py` says what a training would take at best.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.tpu.chips import GIB
    from trainer.tpu.compiler import check_installed
    from trainer.tpu.options import NO_DATASET, PreflightOptions
    from trainer.tpu.report import Result, results_as_json, results_as_text
    from trainer.tpu.results import answer, describe

__all__ = [
    "GIB",
    "NO_DATASET",
    "PreflightOptions",
    "Result",
    "answer",
    "check_installed",
    "describe",
    "results_as_json",
    "results_as_text",
]

__getattr__, __dir__ = attach(__name__)
