"""Warnings about classes that a network will hardly learn, or that are two by mistake."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from data_prep.checks import CheckedTable

# Of fewer rows a class hardly has one in each part, whatever becomes of it.
_FEW_ROWS = 5
_MAX_NAMED = 5


def warn_of_classes(labeled: CheckedTable, folds: int) -> Iterator[str]:
    """A line for each kind of doubtful classes, naming the first of them.

    Args:
        labeled: the rows with labels.
        folds: into how many folds they are cut; 0: none.
    """
    names = labeled.table.class_names
    by_key: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(_key(name), []).append(name)
    alike = [" and ".join(map(repr, group)) for group in by_key.values() if len(group) > 1]
    if alike:
        yield (
            f"warning: classes whose names differ in case, spaces or dashes only: {_first(alike)}; "
            "correct the labels if they are one class"
        )
    counts = labeled.table.targets[labeled.usable].counts.tolist()
    empty = [repr(name) for name, count in zip(names, counts, strict=True) if not count]
    if empty:
        yield f"warning: classes without any usable row: {_first(empty)}"
    few = max(folds, _FEW_ROWS)
    scarce = [
        f"{name!r} ({count})" for name, count in zip(names, counts, strict=True) if 0 < count < few
    ]
    if scarce:
        what = f"fewer rows than --folds={folds}" if few == folds else f"fewer than {few} rows"
        yield f"warning: classes with {what}: {_first(scarce)}"


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name)).casefold() or name


def _first(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _MAX_NAMED} more" if len(texts) > _MAX_NAMED else ""
    return ", ".join(texts[:_MAX_NAMED]) + more
