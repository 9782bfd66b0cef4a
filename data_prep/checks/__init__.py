"""The check of every row and image before the first byte is written.

`check_images` looks at all images in parallel; the verdict then says whether to go on, to go on
without the bad rows, or to stop.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.checks.survey import CSV_FLAGS, Survey, check_images, image_options, quarantine
    from data_prep.checks.verdict import accept_finished, judge_rows, tell_changes, tell_duplicates
    from data_prep.checks.worker import hex_digests, image_source

__all__ = [
    "CSV_FLAGS",
    "Survey",
    "accept_finished",
    "check_images",
    "hex_digests",
    "image_options",
    "image_source",
    "judge_rows",
    "quarantine",
    "tell_changes",
    "tell_duplicates",
]

__getattr__, __dir__ = attach(__name__)
