"""`label_fixes.csv`: what somebody decided about labels that were doubted.

The ensemble writes it with every decision open; a person edits it; preparation applies it.
"""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from orchard import json_text, storage
from orchard.errors import OrchardError
from orchard.formats.kinds import Task, TextEnum

LABEL_FIXES_FILE = "label_fixes.csv"
_COLUMNS = ("id", "given", "suggested", "decision", "label")


class Decision(TextEnum):
    """What becomes of a row: it stays as it is, gets another label, or is left out."""

    KEEP = "keep"
    CHANGE = "change"
    DROP = "drop"


@dataclass(frozen=True)
class LabelFix:
    """A decision about one row.

    Attributes:
        id: of the image.
        given: names of the classes that it had when it was doubted.
        suggested: those that the networks suggest.
        decision: what becomes of it.
        label: the classes that it gets; empty: those suggested.
    """

    id: str
    given: tuple[str, ...]
    suggested: tuple[str, ...]
    decision: Decision = Decision.KEEP
    label: tuple[str, ...] = ()

    @property
    def new_label(self) -> tuple[str, ...]:
        """What a change makes of it."""
        return self.label or self.suggested


@dataclass(frozen=True)
class LabelFixes:
    """The decisions in a file, and its SHA-256 (hex)."""

    fixes: tuple[LabelFix, ...]
    sha256: str


def label_text(classes: Sequence[str], task: Task) -> str:
    """Classes as a cell: the name of the one class, or a JSON list of any number."""
    if task == Task.SINGLE_LABEL and len(classes) == 1:
        return classes[0]
    return json.dumps(list(classes), ensure_ascii=False)


def label_fixes_csv(fixes: Sequence[LabelFix], task: Task) -> bytes:
    """The file's content."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for fix in fixes:
        label = label_text(fix.label, task) if fix.label else ""
        texts = label_text(fix.given, task), label_text(fix.suggested, task)
        writer.writerow([fix.id, *texts, fix.decision, label])
    return text.getvalue().encode()


def read_label_fixes(path: str, task: Task) -> LabelFixes:
    """The decisions in a file.

    Raises:
        OrchardError: no such file, no such columns, an id twice, or a decision that is none.
    """
    if not storage.exists(path):
        raise OrchardError(f"{path}: there is no such file of label fixes")
    content = storage.read_bytes(path)
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise OrchardError(f"{path}: no CSV in UTF-8 ({error}); save it as one") from error
    header = [cell.strip() for cell in lines[0]] if lines else []
    if missing := [name for name in _COLUMNS if name not in header]:
        raise OrchardError(
            f"{path} has no column {missing[0]!r}; its first row must be {','.join(_COLUMNS)}"
        )
    fixes: dict[str, LabelFix] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not any(line):
            continue
        if len(line) != len(header):
            raise OrchardError(f"{path}, row {number}: {len(line)} cells, not {len(header)}")
        cells = dict(zip(header, (cell.strip() for cell in line), strict=True))
        where = f"{path}, row {number}"
        decision = cells["decision"].lower() or Decision.KEEP
        if decision not in set(Decision):
            raise OrchardError(f"{where}: {decision!r} is none of {', '.join(Decision)}")
        if cells["id"] in fixes:
            raise OrchardError(f"{where}: {cells['id']!r} is there twice; remove one of the rows")
        fixes[cells["id"]] = LabelFix(
            id=cells["id"],
            given=_classes(cells["given"], task, where),
            suggested=_classes(cells["suggested"], task, where),
            decision=Decision(decision),
            label=_classes(cells["label"], task, where) if cells["label"] else (),
        )
    return LabelFixes(tuple(fixes.values()), hashlib.sha256(content).hexdigest())


def _classes(cell: str, task: Task, where: str) -> tuple[str, ...]:
    if task == Task.SINGLE_LABEL and not cell.startswith("["):
        return (cell,)
    try:
        names = json_text.loads(cell)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise OrchardError(f'{where}: {cell!r} is no list of classes such as ["rust", "scab"]')
    return tuple(names)
