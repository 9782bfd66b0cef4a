"""`label_issues.html`: the doubtful labels with their pictures, twenty together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.images import thumbnail
from ensemble.doubts.find import Issue, Issues
from orchard import html
from orchard.formats import tfrecord
from trainer.data import RecordTable, read_few
from trainer.evaluation import hard_targets

_ON_A_SCREEN = 20
_NEIGHBORS = 3


@dataclass(frozen=True)
class _Shown:
    """An issue with its picture, and pictures of the suggested class that are most like it."""

    rank: int
    issue: Issue
    picture: str
    neighbors: tuple[tuple[str, str], ...]
    odds: str


def issues_page(issues: Issues, records: RecordTable, dataset: str, max_shown: int) -> bytes:
    """The page's HTML.

    Args:
        issues: what was found.
        records: the table that they are rows of.
        dataset: its name, for people.
        max_shown: so many at most have pictures.
    """
    shown = issues.listed[:max_shown]
    near = [_neighbors(one, issues, records) for one in shown]
    drawn = [one.row for one in shown] + [row for rows in near for row in rows]
    pictures = _pictures(records, drawn)
    entries = [
        _Shown(
            rank,
            one,
            pictures[one.row],
            tuple((str(records.ids[row]), pictures[row]) for row in rows),
            f"{math.exp(min(one.score, 50)):.3g}",
        )
        for rank, (one, rows) in enumerate(zip(shown, near, strict=True), start=1)
    ]
    page = html.render(
        "ensemble/label_issues.html",
        dataset=dataset,
        issues=issues,
        num_records=len(records.ids),
        screens=[entries[at : at + _ON_A_SCREEN] for at in range(0, len(entries), _ON_A_SCREEN)],
        hidden=len(issues.listed) - len(shown),
    )
    return page.encode()


def _neighbors(issue: Issue, issues: Issues, records: RecordTable) -> list[int]:
    """Rows with just the suggested label, undoubted, whose probabilities are most like these."""
    at = np.flatnonzero(issues.judged_rows == issue.row)
    if not len(at) or issue.suggested == issue.given:
        return []
    names = np.array(records.class_names)
    wanted = np.isin(names, issue.suggested)
    doubted = {one.row for one in issues.listed}
    labels = hard_targets(records.targets[issues.judged_rows], records.task)
    fitting = (labels == wanted).all(axis=1)
    fitting &= ~np.isin(issues.judged_rows, list(doubted))
    distance = np.square(issues.probabilities - issues.probabilities[at[0]]).sum(axis=1)
    order = np.argsort(np.where(fitting, distance, np.inf), kind="stable")
    return issues.judged_rows[order[: min(_NEIGHBORS, int(fitting.sum()))]].tolist()


def _pictures(records: RecordTable, rows: Sequence[int]) -> dict[int, str]:
    """Thumbnails as data URIs, each row's once; "" of a record that cannot be read."""
    wanted = sorted(set(rows))
    result = dict.fromkeys(wanted, "")
    for row, payload in zip(wanted, read_few(records, wanted), strict=True):
        try:
            small = thumbnail(tfrecord.Example(payload).bytes_of(records.image_key))
        except ValueError:
            continue
        if small:
            result[row] = html.image_to_uri(small)
    return result
