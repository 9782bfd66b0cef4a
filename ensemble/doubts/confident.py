"""Confident learning: which labels are probably wrong, and how many. NumPy alone.

Northcutt, Jiang, Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels",
section 3: an image counts as one of class j if its probability of j is at least the mean of those
that are labeled j. How many labels are wrong is counted with these thresholds; which ones is ranked
by odds of our own: better than the paper's self-confidence where labels went to the likeliest other
class, not where they went anywhere (docs/benchmarks.md, "Doubtful labels").
"""

from dataclasses import dataclass

import numpy as np

from ensemble.scoring import OVERWHELMING_ODDS, shrunken_odds
from orchard.formats import Task


@dataclass(frozen=True)
class Doubt:
    """What is doubted.

    Attributes:
        scores: float64 [n], higher is more doubtful; above 0 another label is likelier.
        suggested: bool [n, classes], the labels that the probabilities suggest.
        flagged: bool [n], the rows to look at: the most doubtful, as many as are expected to be
            wrong, and all with overwhelming odds.
        expected: how many rows are probably wrong, by confident learning.
    """

    scores: np.ndarray
    suggested: np.ndarray
    flagged: np.ndarray
    expected: int


def doubt(probabilities: np.ndarray, given: np.ndarray, task: Task) -> Doubt:
    """Doubt labels by probabilities of networks that did not train on them.

    Args:
        probabilities: float [n, classes].
        given: bool [n, classes], the labels; exactly one a row where the task is one-label.
        task: what labels mean.
    """
    if task == Task.SINGLE_LABEL:
        labels = given.argmax(axis=1)
        scores, other = _odds(probabilities, labels)
        expected = _expected_errors(probabilities, labels)
        suggested = np.zeros_like(given, bool)
        suggested[np.arange(len(given)), np.where(scores > 0, other, labels)] = True
        return Doubt(scores, suggested, _most_doubtful(scores, expected), expected)
    cells, expected = np.zeros(given.shape), 0
    flagged = np.zeros_like(given, bool)
    for at in range(given.shape[1]):
        present = probabilities[:, at]
        both = np.stack([1 - present, present], axis=1)
        labels = given[:, at].astype(np.int64)
        cells[:, at], _ = _odds(both, labels)
        wrong = _expected_errors(both, labels)
        flagged[:, at] = _most_doubtful(cells[:, at], wrong)
        expected += wrong
    rows = np.asarray(flagged.any(axis=1))
    return Doubt(cells.max(axis=1), given ^ flagged, rows, min(expected, len(rows)))


def _odds(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shrunken log odds of the likeliest other class against the given one; and that class."""
    rows = np.arange(len(labels))
    others = probabilities.astype(np.float64)
    own = others[rows, labels].copy()
    others[rows, labels] = -1
    other = others.argmax(axis=1)
    return np.log(shrunken_odds(others[rows, other], own)), other


def _expected_errors(probabilities: np.ndarray, labels: np.ndarray) -> int:
    """How many labels are wrong: the off-diagonal of the confident joint, scaled to the counts."""
    num_classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=num_classes)
    sums = np.zeros(num_classes)
    np.add.at(sums, labels, probabilities[np.arange(len(labels)), labels])
    thresholds = np.where(counts, sums / np.maximum(counts, 1), np.inf)
    reached = np.where(probabilities >= thresholds, probabilities, -1)
    confident = (reached >= 0).any(axis=1)
    joint = np.zeros((num_classes, num_classes))
    np.add.at(joint, (labels[confident], reached[confident].argmax(axis=1)), 1)
    # A class of which no image is confident says nothing: its labels count as right.
    wrong = 1 - np.divide(
        np.diag(joint), joint.sum(axis=1), out=np.ones(num_classes), where=joint.sum(axis=1) > 0
    )
    return round(float((wrong * counts).sum()))


def _most_doubtful(scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` rows with the highest scores, if something else is likelier; and the sure ones.

    Few wrong labels are often none by the count, however sure the networks are of them.
    """
    chosen = np.zeros(len(scores), bool)
    chosen[np.argsort(-scores, kind="stable")[:count]] = True
    return (chosen & (scores > 0)) | (scores >= np.log(OVERWHELMING_ODDS))
