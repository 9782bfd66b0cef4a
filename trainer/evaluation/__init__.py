"""How good logits are: exact scores over all records of a split.

`evaluator` gets the logits of all records from a network; `metric` says what a metric is, and
`metrics` has one a file; `predictions` says what logits and targets mean, `classes` scores each
class, `bootstrap` says how far scores are from chance. All but the evaluator is NumPy, and the
ensemble uses it too.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.evaluation.bootstrap import (
        CONFIDENCE,
        counts_for,
        draw_counts,
        gain_interval,
        mean_interval,
        percentiles,
        resampled_scores,
        score_interval,
    )
    from trainer.evaluation.calibration import NUM_BINS, Reliability, reliability
    from trainer.evaluation.classes import (
        average_precision_per_class,
        best_thresholds,
        per_class_table,
        roc_auc_per_class,
    )
    from trainer.evaluation.evaluator import Diverged, Evaluator, RowOutputs, intact_rows
    from trainer.evaluation.metric import (
        METRICS,
        Metric,
        check_metric,
        default_metric,
        evaluate,
        is_better,
        metric_names,
    )
    from trainer.evaluation.predictions import (
        hard_predictions,
        hard_targets,
        probabilities,
        row_losses,
    )

__all__ = [
    "CONFIDENCE",
    "Diverged",
    "Evaluator",
    "METRICS",
    "Metric",
    "NUM_BINS",
    "Reliability",
    "RowOutputs",
    "average_precision_per_class",
    "best_thresholds",
    "check_metric",
    "counts_for",
    "default_metric",
    "draw_counts",
    "evaluate",
    "gain_interval",
    "hard_predictions",
    "hard_targets",
    "intact_rows",
    "is_better",
    "mean_interval",
    "metric_names",
    "per_class_table",
    "percentiles",
    "probabilities",
    "reliability",
    "resampled_scores",
    "roc_auc_per_class",
    "row_losses",
    "score_interval",
]

__getattr__, __dir__ = attach(__name__)
