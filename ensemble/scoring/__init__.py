"""Scores with intervals: members and ensemble side by side on the same rows."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.scoring import scores
    from ensemble.scoring.bootstrap import difference_interval
    from ensemble.scoring.scoreboard import Candidate, Scoreboard, build_scoreboard, scoreboard_text
    from ensemble.scoring.scores import RANKING_METRICS, SHOWN_METRICS, default_metric, row_losses

__all__ = [
    "Candidate",
    "RANKING_METRICS",
    "SHOWN_METRICS",
    "Scoreboard",
    "build_scoreboard",
    "default_metric",
    "difference_interval",
    "row_losses",
    "scoreboard_text",
    "scores",
]

__getattr__, __dir__ = attach(__name__)
