import numpy as np
import pytest

from ensemble.scoring.cheapest import cheapest_within_chance
from ensemble.scoring.scoreboard import Candidate, CandidateKind, build_scoreboard
from orchard.formats import Price, Task

_ROWS = 200
_TARGETS = np.eye(3)[np.arange(_ROWS) % 3]


def _right_in(count):
    """Probabilities float [rows, classes] whose largest is right in the first `count` rows."""
    right = np.arange(_ROWS) < count
    return 0.1 + 0.7 * np.where(right[:, None], _TARGETS, np.roll(_TARGETS, 1, axis=1))


def _board(entries, metric="accuracy", targets=_TARGETS):
    """A board of (name, rows that are right, FLOPs, CPU-s); the last one is the ensemble."""
    kinds = [CandidateKind.MEMBER] * (len(entries) - 1) + [CandidateKind.ENSEMBLE]
    candidates = [
        Candidate(
            name, kind, None, _right_in(right), Price(seconds, "CPU-s" if seconds else "", flops)
        )
        for kind, (name, right, flops, seconds) in zip(kinds, entries, strict=True)
    ]
    return build_scoreboard("split test", candidates, targets, Task.SINGLE_LABEL, metric)


def _found(entries, **kwargs):
    return cheapest_within_chance(_board(entries, **kwargs))


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_cheapest_within_chance_passes_over_a_cheaper_one_that_is_worse(metric):
    found = _found(
        [
            ("bad", 90, 100, 5.0),
            ("b0", 178, 220, 40.0),
            ("b1", 179, 700, 60.0),
            ("ensemble", 180, 2000, 200.0),
        ],
        metric=metric,
    )
    assert found.choice.entry.candidate.name == "b0"
    assert found.choice.low <= 0 <= found.choice.high and found.choice.gain > 0
    assert found.sentence.startswith(
        f"b0 alone is within chance of the best, the ensemble ({metric} "
    )
    assert "; 1 cheaper still is not)" in found.sentence
    assert found.sentence.endswith("at 0.11 of its inference cost and 0.2 of its training cost.")


def test_cheapest_within_chance_where_nothing_cheaper_is_names_the_nearest():
    found = _found([("bad", 90, 100, 5.0), ("b0", 120, 200, 40.0), ("ensemble", 190, 2000, 200.0)])
    assert found.choice is None
    assert found.sentence.startswith(
        "Nothing cheaper is within chance of the best, the ensemble: the nearest is b0 (accuracy "
        "0.6000 against 0.9500, 95% interval of the difference +0."
    )


def test_cheapest_within_chance_where_the_best_is_the_cheapest_says_so():
    found = _found(
        [("b0", 190, 2_000_000_000, 5.0), ("b1", 180, 3e9, 40.0), ("ensemble", 185, 5e9, 45.0)]
    )
    assert found.choice is None and found.best.candidate.name == "b0"
    assert found.sentence == (
        "Nothing with a score is cheaper than the best, b0, at 2 GFLOPs an image."
    )


def test_cheapest_within_chance_of_equal_scores_calls_the_cheapest_the_best():
    found = _found([("b1", 180, 700, 9.0), ("b0", 180, 200, 3.0), ("ensemble", 180, 900, 12.0)])
    assert found.best.candidate.name == "b0" and found.compared == ()


def test_cheapest_within_chance_of_equal_costs_takes_the_better_score():
    found = _found([("b1", 177, 200, 3.0), ("b0", 178, 200, 3.0), ("ensemble", 180, 400, 6.0)])
    assert found.choice.entry.candidate.name == "b0"


def test_cheapest_within_chance_leaves_out_unknown_costs_and_says_how_many():
    found = _found([("old", 179, None, None), ("b0", 178, 200, None), ("ensemble", 180, 400, 6.0)])
    assert found.choice.entry.candidate.name == "b0"
    assert found.sentence.endswith(
        "at 0.5 of its inference cost (training cost unknown) (1 of unknown cost left out)."
    )


def test_cheapest_within_chance_of_a_best_of_unknown_cost_is_unknown():
    found = _found([("old", 170, None, None), ("b0", 178, 200, 5.0), ("ensemble", 180, None, None)])
    assert found.choice is None and found.compared == ()
    assert "within chance of the ensemble is unknown" in found.sentence
    assert "--export_only adds it" in found.sentence


def test_cheapest_within_chance_of_one_network_or_without_scores_is_none():
    assert _found([("b0", 178, 200, 5.0), ("ensemble", 178, 200, 5.0)]) is None
    entries = [("b0", 178, 200, 5.0), ("b1", 178, 300, 5.0), ("ensemble", 178, 500, 5.0)]
    one_class = np.eye(3)[np.zeros(_ROWS, int)]
    assert _found(entries, metric="roc_auc", targets=one_class) is None
