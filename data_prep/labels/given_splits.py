"""The splits that a column of the CSV gives (`--split_column`)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.labels.csv_table import CsvTable
from data_prep.labels.problems import Problem
from orchard.formats import SplitKind, fold_name

# Columns that say which split a row is in, whatever their values.
SPLIT_NAME = re.compile(
    r"(k_?|cv_?)?folds?(_?(id|no|nr|number|idx|index|\d+))?|split|subset|partition"
    r"|(is|in|for)_?(train|training|val|valid|validation|eval|dev|test|holdout|held_?out)(_?set)?",
    re.IGNORECASE,
)
_WORDS = {
    **dict.fromkeys(("train", "training"), SplitKind.TRAIN),
    **dict.fromkeys(
        ("eval", "val", "valid", "validation", "dev", "holdout", "held_out", "heldout"),
        SplitKind.EVAL,
    ),
    "test": SplitKind.TEST,
}
_YES_OR_NO = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


@dataclass(frozen=True)
class GivenSplits:
    """The name of each row's split, and the rows whose cell gives none."""

    splits: tuple[str, ...]
    problems: list[Problem]


def read_splits(table: CsvTable, column: str, ids: Sequence[str]) -> GivenSplits:
    """The split of each row: `train`, `eval`, `test` or `fold<number>`.

    A column that is named after a split (`is_valid`) and holds True and False, or 1 and 0, says
    which rows are in it.
    """
    cells = table.column(column)
    splits = _by_membership(column, cells) or tuple(_split_of(cell) for cell in cells)
    problems = [
        Problem(
            table.file,
            table.row_numbers[row],
            ids[row],
            "bad split",
            f"{cells[row]!r} in column {column!r} is not train, eval, test or the number of a fold",
        )
        for row, split in enumerate(splits)
        if not split
    ]
    return GivenSplits(splits, problems)


def _by_membership(column: str, cells: Sequence[str]) -> tuple[str, ...] | None:
    match = re.match(r"(?:is|in|for)_?([a-z]+?(?:_?out)?)(?:_?set)?$", column.lower())
    inside = _WORDS.get(match[1]) if match else None
    if inside is None or not all(cell.lower() in _YES_OR_NO for cell in cells):
        return None
    outside = SplitKind.EVAL if inside == SplitKind.TRAIN else SplitKind.TRAIN
    return tuple(inside if _YES_OR_NO[cell.lower()] else outside for cell in cells)


def _split_of(cell: str) -> str:
    """A split's name; empty: the cell gives none."""
    word = _WORDS.get(cell.lower())
    if word is not None:
        return word
    # pandas writes whole numbers of a column with gaps as 2.0.
    number = re.fullmatch(r"(?:fold[_ -]?)?0*(\d{1,5})(?:\.0)?", cell.lower())
    return fold_name(number[1]) if number else ""
