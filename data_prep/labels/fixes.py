"""Applies decisions about doubtful labels (`--label_fixes`) to the rows of a table."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from data_prep.labels.table import AppliedFixes, LabelTable
from orchard.errors import OrchardError
from orchard.formats import Decision, LabelFix, read_label_fixes


def apply_label_fixes(table: LabelTable, path: str) -> LabelTable:
    """The table after the decisions in a file: labels changed, rows left out.

    A fix whose change was made in the table already does nothing.

    Raises:
        OrchardError: the file cannot be read, or a fix is of a row, label or class that the table
            does not have.
    """
    found = read_label_fixes(path, table.task)
    rows = {image_id: row for row, image_id in enumerate(table.ids)}
    fixing = _Fixing(table, path)
    labels, dropped = {}, np.zeros(len(table.ids), bool)
    for fix in found.fixes:
        if fix.decision is Decision.KEEP:
            continue
        if fix.id not in rows:
            raise OrchardError(
                f"{path}: {table.file} has no row {fix.id!r}; remove its line from the fixes"
            )
        row = rows[fix.id]
        given = table.targets.classes_of(row)
        if fix.decision is Decision.DROP:
            fixing.check_given(fix, given)
            dropped[row] = True
        elif given != (new := fixing.classes(fix, fix.new_label)):
            fixing.check_given(fix, given)
            labels[row] = new
    fixed = dataclasses.replace(
        table,
        targets=table.targets.with_labels(labels),
        fixes=AppliedFixes(found.sha256, len(labels), int(dropped.sum())),
    )
    return fixed.take(np.flatnonzero(~dropped))


@dataclass(frozen=True)
class _Fixing:
    """The table and the file of the fixes, for the checks of each."""

    table: LabelTable
    path: str

    def classes(self, fix: LabelFix, names: tuple[str, ...]) -> list[int]:
        """The numbers of classes, ascending."""
        known = {name: at for at, name in enumerate(self.table.class_names)}
        if unknown := [name for name in names if name not in known]:
            raise OrchardError(
                f"{self.path}: {unknown[0]!r}, the new label of {fix.id!r}, is no class of "
                f"{self.table.file}; it has {', '.join(self.table.class_names[:20])}"
            )
        return sorted(known[name] for name in names)

    def check_given(self, fix: LabelFix, given: list[int]) -> None:
        """Refuse a decision about another label than the row has."""
        names = tuple(self.table.class_names[at] for at in given)
        if set(names) != set(fix.given):
            raise OrchardError(
                f"{self.path}: {fix.id!r} was {' '.join(fix.given) or 'none'} when its label was "
                f"doubted, and is {' '.join(names) or 'none'} in {self.table.file}; decide again, "
                "or remove its line from the fixes"
            )
