"""Exact scores over all records of a split."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.evaluation import metrics
    from trainer.evaluation.evaluator import Diverged, Evaluator, distribute, intact_rows
    from trainer.evaluation.metrics import METRICS, hard_targets, is_better, probabilities

__all__ = [
    "Diverged",
    "Evaluator",
    "METRICS",
    "distribute",
    "hard_targets",
    "intact_rows",
    "is_better",
    "metrics",
    "probabilities",
]

__getattr__, __dir__ = attach(__name__)
