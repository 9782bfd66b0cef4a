"""The check of every row and image before the first byte is written.

`ImageCheck` has all images read by the engine's workers (`worker.py` is what runs there) and
gathers what they found as `CheckedImages`; `refuse_bad_rows` then decides whether the bad rows are
the end or are left out.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.checks.bad_rows import quarantine, quarantined_by_flag, refuse_bad_rows
    from data_prep.checks.check import CSV_FLAGS, CheckedImages, CheckedTable, ImageCheck
    from data_prep.checks.worker import hex_digests

__all__ = [
    "CSV_FLAGS",
    "CheckedImages",
    "CheckedTable",
    "ImageCheck",
    "hex_digests",
    "quarantine",
    "quarantined_by_flag",
    "refuse_bad_rows",
]

__getattr__, __dir__ = attach(__name__)
