"""Scores with intervals: members and ensemble side by side on the same rows.

`scores.py` takes the trainer's metrics of probabilities, `bootstrap.py` says how far they are from
chance, and `scoreboard.py` brings both into one table with a verdict.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.scoring.bootstrap import difference_interval
    from ensemble.scoring.scoreboard import (
        Candidate,
        CandidateKind,
        Scoreboard,
        build_scoreboard,
        scoreboard_text,
        scores_text,
    )
    from ensemble.scoring.scores import regret, score

__all__ = [
    "Candidate",
    "CandidateKind",
    "Scoreboard",
    "build_scoreboard",
    "difference_interval",
    "regret",
    "score",
    "scoreboard_text",
    "scores_text",
]

__getattr__, __dir__ = attach(__name__)
