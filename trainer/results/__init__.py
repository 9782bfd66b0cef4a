"""What a finished run leaves: SavedModel, logits, report, and `run.json` last.

Start at `finish`. `folds_report` is the page of all folds together.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.results import export
    from trainer.results.averaged import WeightsTrial, write_averaged
    from trainer.results.closing import closing_lines, next_command
    from trainer.results.figures import confusion_figure, reliability_figure
    from trainer.results.finish import export_for_serving, export_only, finish_run, is_finished
    from trainer.results.folds_report import write_folds_report
    from trainer.results.serving import (
        IMAGE_BYTES,
        TOP_K,
        Signature,
        save_serving,
        top_classes_in_graph,
    )

__all__ = [
    "IMAGE_BYTES",
    "Signature",
    "TOP_K",
    "WeightsTrial",
    "closing_lines",
    "confusion_figure",
    "export",
    "export_for_serving",
    "export_only",
    "finish_run",
    "is_finished",
    "next_command",
    "reliability_figure",
    "save_serving",
    "top_classes_in_graph",
    "write_averaged",
    "write_folds_report",
]

__getattr__, __dir__ = attach(__name__)
