"""What an ensemble leaves: predictions, weights.json, report, one SavedModel."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.output.export import EnsembleModel, save_ensemble
    from ensemble.output.predictions import (
        write_predictions,
        write_soft_labels,
    )
    from ensemble.output.record import ensemble_record
    from ensemble.output.report import write_report

__all__ = [
    "EnsembleModel",
    "save_ensemble",
    "ensemble_record",
    "write_predictions",
    "write_report",
    "write_soft_labels",
]

__getattr__, __dir__ = attach(__name__)
