"""Names with few values, in files and in flags: enums whose members are their own text."""

import re
from enum import Enum


class TextEnum(str, Enum):
    """A string with few values; equal to its text, and written to JSON as that.

    It is `enum.StrEnum`, which Python 3.10 lacks.
    """

    __str__ = str.__str__
    __repr__ = str.__repr__


class Task(TextEnum):
    """What the labels of an image mean: one class (softmax), or any number of them (sigmoids)."""

    SINGLE_LABEL = "single_label"
    MULTI_LABEL = "multi_label"


class SplitKind(TextEnum):
    """The names of splits that are no folds."""

    TRAIN = "train"
    EVAL = "eval"
    HOLDOUT = "holdout"  # Rows with labels that neither training nor its evaluation touches.
    TEST = "test"  # Rows without labels, to predict.


def fold_name(number: int | str) -> str:
    """The name of a fold's split, and of the run directory that holds it out: "fold3"."""
    return f"fold{number}"


def fold_number(name: str) -> int | None:
    """3 of "fold3"; None of a name that is no fold's."""
    return _number_after("fold", name)


def repeat_fold_name(repeat: int, number: int | str) -> str:
    """The name of a fold when the rows are dealt out for another time: "repeat1_fold3".

    The first time, 0, has the splits of the dataset themselves. Later ones are in its index alone.
    """
    return f"repeat{repeat}_{fold_name(number)}" if repeat else fold_name(number)


def repeat_and_fold(name: str) -> tuple[int, int] | None:
    """(1, 3) of "repeat1_fold3", (0, 3) of "fold3"; None of a name that is no fold's."""
    match = re.fullmatch(r"(?:repeat(\d+)_)?fold(\d+)", name)
    return (int(match[1] or 0), int(match[2])) if match else None


def splits_overlap(one: str, other: str) -> bool:
    """Whether two splits may hold the same record: they are one, or folds of different repeats."""
    first, second = repeat_and_fold(one), repeat_and_fold(other)
    of_two_repeats = first is not None and second is not None and first[0] != second[0]
    return one == other or of_two_repeats


def refit_name(number: int) -> str:
    """The name of the run directory of a network that trained on all folds: "refit0"."""
    return f"refit{number}"


def refit_number(name: str) -> int | None:
    """0 of "refit0"; None of a name that is no refit's."""
    return _number_after("refit", name)


def is_part(name: str) -> bool:
    """Whether a run directory of that name is one of several of its network."""
    return fold_number(name) is not None or refit_number(name) is not None


def _number_after(kind: str, name: str) -> int | None:
    match = re.fullmatch(rf"{kind}(\d+)", name)
    return int(match[1]) if match else None
