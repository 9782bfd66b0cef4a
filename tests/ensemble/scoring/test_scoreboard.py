import numpy as np
import pytest

from ensemble.scoring.scoreboard import Candidate, CandidateKind, build_scoreboard, scoreboard_text

TASK = "single_label"


def _board(accuracies, metric="accuracy", rows=100, **kwargs):
    """Candidates that are right on the first share of the rows, the last being the ensemble."""
    targets = np.eye(2)[np.arange(rows) % 2]
    candidates = []
    for at, accuracy in enumerate(accuracies):
        right = np.arange(rows) < accuracy * rows
        p = np.where(right[:, None], 0.1 + 0.8 * targets, 0.9 - 0.8 * targets)
        last = at == len(accuracies) - 1
        kind = CandidateKind.ENSEMBLE if last else CandidateKind.MEMBER
        candidates.append(Candidate("ensemble" if last else f"m{at}", kind, 0.5, p))
    return build_scoreboard("somewhere", candidates, targets, TASK, metric, **kwargs)


def test_build_scoreboard_takes_the_best_member_by_the_metric():
    board = _board([0.6, 0.8, 0.7, 0.9])
    assert board.best.candidate.name == "m1"
    assert _board([0.6, 0.8, 0.7, 0.9], metric="log_loss").best.candidate.name == "m1"
    assert board.gain == pytest.approx(0.1)


def test_build_scoreboard_never_takes_the_ensemble_as_best_member():
    assert _board([0.6, 0.9]).best.candidate.name == "m0"


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ([0.1, 0.5, 0.9], "beats its best member"),
        ([0.1, 0.79, 0.8], "above its best member, but not beyond chance"),
        ([0.1, 0.8, 0.8], "equals its best member"),
        ([0.1, 0.8, 0.79], "does not beat its best member, nor is it worse beyond chance"),
        ([0.1, 0.8, 0.4], "is worse than its best member"),
        ([0.8, 0.8], "One network, so there is nothing to combine: accuracy 0.8000."),
    ],
)
def test_verdict_says_how_the_ensemble_compares(accuracies, words):
    assert words in _board(accuracies).verdict


def test_verdict_says_what_is_gained_in_other_metrics():
    board = _board([0.1, 0.8, 0.9])
    assert set(board.gains) == {"accuracy", "log_loss", "roc_auc"}
    assert board.gains["log_loss"].value > 0
    assert f"log_loss {board.gains['log_loss']}" in board.other_gains
    assert board.other_gains in scoreboard_text(board)
    assert not _board([0.8, 0.8]).other_gains


def test_scoreboard_text_shows_every_entry_and_the_verdict():
    lines = scoreboard_text(_board([0.5, 0.75, 0.8])).splitlines()
    assert lines[1].split() == ["accuracy", "log_loss", "roc_auc"]
    assert [line.split()[0] for line in lines[2:5]] == ["m0", "m1", "ensemble"]
    assert lines[3].split()[1] == "0.7500"
    assert lines[5].startswith("The ensemble")


def test_build_scoreboard_of_ranks_has_ranking_metrics_alone():
    board = _board([0.5, 0.8], metric="roc_auc", ensemble_ranks_only=True)
    assert set(board.ensemble.scores) == {"roc_auc", "average_precision"}
    assert "-" in scoreboard_text(board).splitlines()[3].split()


def test_verdict_for_a_metric_without_a_value_says_so():
    targets = np.eye(2)[np.zeros(30, int)]
    p = np.full((30, 2), 0.5)
    candidates = [
        Candidate("a", CandidateKind.MEMBER, 1.0, p),
        Candidate("ensemble", CandidateKind.ENSEMBLE, None, p),
    ]
    board = build_scoreboard("somewhere", candidates, targets, TASK, "roc_auc")
    assert board.verdict.startswith("There is no verdict: roc_auc has no value on these 30 images")
    assert "nan" not in scoreboard_text(board)
