"""Labels: what a CSV says about each image.

Reads ids and targets and collects what is wrong with single rows, so that all of it can be
shown at once.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.labels.csv_table import IMAGE_COLUMNS, read_csv
    from data_prep.labels.problems import Problem, describe, quarantine_csv, summary
    from data_prep.labels.table import LabelOptions, LabelTable, read_ids, read_labels

__all__ = [
    "IMAGE_COLUMNS",
    "LabelOptions",
    "LabelTable",
    "Problem",
    "describe",
    "quarantine_csv",
    "read_csv",
    "read_ids",
    "read_labels",
    "summary",
]

__getattr__, __dir__ = attach(__name__)
