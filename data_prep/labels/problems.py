"""What can be wrong with a row, how it is counted and shown, and `quarantine.csv`."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_NAMED_PER_KIND = 10
_MAX_CHARACTERS = 300  # Of what is shown of an id or a value, which may be anything.


class Problem(NamedTuple):
    """Something that is wrong with one row, which cannot be used.

    Attributes:
        file: name of the CSV.
        row: the row as a spreadsheet shows it: the header is row 1.
        id: the row's id.
        kind: a few words that are the same for all problems of this kind.
        detail: what is wrong here.
    """

    file: str
    row: int
    id: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}, {_cut(repr(self.id))}: {_cut(self.detail)}"


def _cut(text: str) -> str:
    if len(text) <= _MAX_CHARACTERS:
        return text
    return f"{text[: _MAX_CHARACTERS // 2]} ... {text[-_MAX_CHARACTERS // 3 :]}"


def describe(problems: Sequence[Problem]) -> list[str]:
    """Lines that count the problems of each kind, most frequent first, and list the first ten."""
    lines = []
    for kind, count in Counter(problem.kind for problem in problems).most_common():
        lines.append(f"{kind}: {count}")
        named = [problem for problem in problems if problem.kind == kind][:_NAMED_PER_KIND]
        lines += [f"  {problem}" for problem in named]
        if count > len(named):
            lines.append(f"  and {count - len(named)} more")
    return lines


def summary(problems: Sequence[Problem]) -> str:
    """One phrase: how many rows, how many of each kind, and the first of them in full."""
    counts = Counter(problem.kind for problem in problems).most_common()
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts)
    rows = len({(problem.file, problem.row) for problem in problems})
    return f"{rows} bad row{'s' if rows > 1 else ''} ({kinds}); the first: {problems[0]}"


def quarantine_csv(problems: Sequence[Problem]) -> bytes:
    """All problems as a CSV, in the order of the rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Problem._fields)
    writer.writerows(problems)
    return text.getvalue().encode()
