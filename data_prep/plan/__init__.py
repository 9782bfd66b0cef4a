"""Which record goes where: duplicates, splits, shards, and the fingerprints that name them.

A plan is a pure function of the inputs' content, the settings and the seed; it knows no place to
write to. Start with `build.py`: `assign_splits`, then `build_plan`.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.plan.build import (
        Assignment,
        SplitRows,
        assign_splits,
        build_plan,
        describe_duplicates,
        describe_times,
    )
    from data_prep.plan.class_warnings import warn_of_classes
    from data_prep.plan.duplicates import connected, look_alikes
    from data_prep.plan.growth import describe_growth, leave_out_moves
    from data_prep.plan.samples import pictures_per_class
    from data_prep.plan.shards import (
        OldRecords,
        Plan,
        PlannedShard,
        num_shards,
    )
    from data_prep.plan.versions import deciding_versions, library_versions

__all__ = [
    "Assignment",
    "OldRecords",
    "Plan",
    "PlannedShard",
    "SplitRows",
    "assign_splits",
    "build_plan",
    "connected",
    "deciding_versions",
    "describe_duplicates",
    "describe_growth",
    "describe_times",
    "leave_out_moves",
    "library_versions",
    "look_alikes",
    "num_shards",
    "pictures_per_class",
    "warn_of_classes",
]

__getattr__, __dir__ = attach(__name__)
