"""From held-out logits to a list of doubtful labels, the files that hold it, and old decisions."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.combine import COMBINERS
from ensemble.doubts.confident import doubt
from ensemble.doubts.twins import Twins
from ensemble.fitting import HeldOut
from orchard.formats import LabelFix, Task, label_text
from trainer.data import RecordTable
from trainer.evaluation import hard_targets

_COLUMNS = ("rank", "id", "given", "suggested", "score", "reason", "csv_row")


@dataclass(frozen=True)
class Issue:
    """One doubtful label.

    Attributes:
        row: of the record table.
        id: of the image.
        given: names of the classes that it has.
        suggested: those that networks suggest; of a twin that no network judged, those given.
        score: the log odds of the suggestion; 0 where no network judged it.
        twins: ids of records with the same picture and other labels.
        csv_row: row of the label table.
    """

    row: int
    id: str
    given: tuple[str, ...]
    suggested: tuple[str, ...]
    score: float
    twins: tuple[str, ...]
    csv_row: int | None

    @property
    def reason(self) -> str:
        """Why it is doubted."""
        return f"the picture of {', '.join(self.twins)}" if self.twins else "the networks differ"


@dataclass(frozen=True)
class Issues:
    """All doubtful labels, the most doubtful first; twins before all others.

    Attributes:
        listed: the labels.
        num_judged: records that networks judged.
        expected: how many of these are probably wrong.
        probabilities: float64 [judged, classes], of the ensemble.
        judged_rows: int64 [judged], their rows of the record table.
    """

    listed: tuple[Issue, ...]
    num_judged: int
    expected: int
    probabilities: np.ndarray
    judged_rows: np.ndarray


def find_issues(
    held_out: HeldOut, records: RecordTable, twins: Twins, csv_rows: dict[str, int]
) -> Issues:
    """The doubtful labels of a dataset.

    Args:
        held_out: logits of networks that did not train on their images.
        records: of all labeled splits.
        twins: pictures with several labels.
        csv_rows: id -> row of the label table.
    """
    task, names = records.task, records.class_names
    mean = COMBINERS["probabilities"](task)
    probabilities = held_out.representations(np.ones((len(held_out.logits), 1)), mean).mean(axis=0)
    given = hard_targets(held_out.targets, task)
    found = doubt(probabilities, given, task)
    by_id = {str(one): row for row, one in enumerate(records.ids)}
    rows = np.array([by_id[str(one)] for one in held_out.ids], np.int64)
    position_of = {int(row): position for position, row in enumerate(rows)}
    all_given = hard_targets(records.targets, task)

    def issue(row: int) -> Issue:
        at = position_of.get(row)
        labels = _names(all_given[row], names)
        return Issue(
            row=row,
            id=str(records.ids[row]),
            given=labels,
            suggested=labels if at is None else _names(found.suggested[at], names),
            score=0.0 if at is None else float(found.scores[at]),
            twins=tuple(str(records.ids[one]) for one in twins.of(row)),
            csv_row=csv_rows.get(str(records.ids[row])),
        )

    doubled = {int(row) for group in twins.groups for row in group}
    alone = [int(row) for row in rows[found.flagged] if int(row) not in doubled]
    issues = [issue(row) for row in (*sorted(doubled), *alone)]
    issues.sort(key=lambda one: (not one.twins, -one.score, one.id))
    return Issues(tuple(issues), len(rows), found.expected, probabilities, rows)


def issues_csv(issues: Sequence[Issue], task: Task) -> bytes:
    """`label_issues.csv`: a row an issue."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for rank, one in enumerate(issues, start=1):
        labels = label_text(one.given, task), label_text(one.suggested, task)
        row = "" if one.csv_row is None else one.csv_row
        writer.writerow([rank, one.id, *labels, f"{one.score:.4f}", one.reason, row])
    return text.getvalue().encode()


def merge_fixes(issues: Sequence[Issue], decided: Sequence[LabelFix]) -> tuple[LabelFix, ...]:
    """A fix to decide for each issue; what somebody decided before stays as it is."""
    before = {fix.id: fix for fix in decided}
    fixes = [before.pop(one.id, LabelFix(one.id, one.given, one.suggested)) for one in issues]
    # What is doubted no more keeps its decision, too: it may be why.
    return (*fixes, *before.values())


def _names(present: np.ndarray, class_names: Sequence[str]) -> tuple[str, ...]:
    return tuple(class_names[at] for at in np.flatnonzero(present).tolist())
