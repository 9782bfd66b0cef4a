"""What an ensemble leaves: predictions, weights.json, report, one SavedModel."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.output import explained
    from ensemble.output.card import make_card, write_card
    from ensemble.output.export import EnsembleModel, save_ensemble, save_ensemble_for_serving
    from ensemble.output.formats import FormatsPlan, plan_formats, remove_formats, write_formats
    from ensemble.output.predictions import (
        top_classes,
        write_held_out,
        write_predictions,
        write_soft_labels,
        write_top_classes,
    )
    from ensemble.output.record import ensemble_record
    from ensemble.output.report import write_report

__all__ = [
    "EnsembleModel",
    "FormatsPlan",
    "ensemble_record",
    "explained",
    "make_card",
    "plan_formats",
    "remove_formats",
    "save_ensemble",
    "save_ensemble_for_serving",
    "top_classes",
    "write_card",
    "write_formats",
    "write_held_out",
    "write_predictions",
    "write_report",
    "write_soft_labels",
    "write_top_classes",
]

__getattr__, __dir__ = attach(__name__)
