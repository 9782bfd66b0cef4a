"""Labels: which images there are, and the classes of each.

A label source (`sources/`, one file each: a CSV, or one folder a class) reads ids and targets into
a `LabelTable`. What is wrong with single rows is collected as `Problem`s, so that all of it can be
shown at once. Start with `table.py`, which turns a CSV into a table; `shapes.py` knows the three
ways in which CSVs give labels. `order.py` has the order of ids that all later steps use.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.labels.csv_table import parse_csv
    from data_prep.labels.fixes import apply_label_fixes
    from data_prep.labels.order import hashed_order
    from data_prep.labels.other_tables import read_table
    from data_prep.labels.problems import Problem, describe, quarantine_csv, summary
    from data_prep.labels.source import (
        LABEL_SOURCES,
        ImageTable,
        InputTables,
        LabelSource,
        SourceOptions,
    )
    from data_prep.labels.table import (
        LabelOptions,
        LabelTable,
        ids_of_csv,
        labels_of_csv,
        read_ids,
        read_labels,
        rows_as_csv,
    )

__all__ = [
    "ImageTable",
    "InputTables",
    "LABEL_SOURCES",
    "LabelOptions",
    "LabelSource",
    "LabelTable",
    "Problem",
    "SourceOptions",
    "apply_label_fixes",
    "describe",
    "hashed_order",
    "ids_of_csv",
    "labels_of_csv",
    "parse_csv",
    "quarantine_csv",
    "read_table",
    "read_ids",
    "read_labels",
    "rows_as_csv",
    "summary",
]

__getattr__, __dir__ = attach(__name__)
