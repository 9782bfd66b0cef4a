"""Labels that are probably wrong, by what networks say that never trained on their images.

`confident.py` has the arithmetic, confident learning; `find.py` applies it to held-out logits and
looks for pictures that are there twice with different labels; `page.py` shows what was found.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.doubts.confident import Doubt, doubt
    from ensemble.doubts.find import Issue, Issues, find_issues, issues_csv, merge_fixes
    from ensemble.doubts.page import issues_page
    from ensemble.doubts.twins import Twins, find_twins

__all__ = [
    "Doubt",
    "Issue",
    "Issues",
    "Twins",
    "doubt",
    "find_issues",
    "find_twins",
    "issues_csv",
    "issues_page",
    "merge_fixes",
]

__getattr__, __dir__ = attach(__name__)
