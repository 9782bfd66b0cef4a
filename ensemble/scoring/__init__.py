"""Scores with intervals: members and ensemble side by side on the same rows.

`scores.py` takes the trainer's metrics of probabilities and `bootstrap.py` its intervals;
`scoreboard.py` brings both into one table with a verdict. `price.py` adds up what they
cost, and `cheapest.py` names the cheapest within chance of the best. `diversity.py` compares the
networks' errors, and says what each of them adds. `odds.py` compares two probabilities.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.scoring.bootstrap import difference_interval
    from ensemble.scoring.cheapest import Cheapest, cheapest_within_chance
    from ensemble.scoring.diversity import Addition, Diversity, Pairs, additions_of, pairs_of
    from ensemble.scoring.odds import OVERWHELMING_ODDS, shrunken_odds
    from ensemble.scoring.price import Prices, ensemble_prices, inference_text, training_text
    from ensemble.scoring.scoreboard import (
        Candidate,
        CandidateKind,
        Entry,
        Scoreboard,
        build_scoreboard,
        scoreboard_text,
        scores_text,
    )
    from ensemble.scoring.scores import expected_regrets, per_row_regrets, regret, score

__all__ = [
    "Addition",
    "Candidate",
    "CandidateKind",
    "Cheapest",
    "Diversity",
    "Entry",
    "OVERWHELMING_ODDS",
    "Pairs",
    "Prices",
    "Scoreboard",
    "additions_of",
    "build_scoreboard",
    "cheapest_within_chance",
    "difference_interval",
    "ensemble_prices",
    "expected_regrets",
    "inference_text",
    "per_row_regrets",
    "pairs_of",
    "regret",
    "score",
    "scoreboard_text",
    "scores_text",
    "shrunken_odds",
    "training_text",
]

__getattr__, __dir__ = attach(__name__)
