"""Which record goes where: duplicates, splits, shards, and the fingerprints that name them.

A plan is a pure function of the inputs' content, the settings and the seed.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from data_prep.plan.build import Assignment, assign_splits, build_plan, input_facts
    from data_prep.plan.shards import Plan, ShardRows, fingerprint_shard, hashed_order, num_shards
    from data_prep.plan.versions import deciding_versions, library_versions

__all__ = [
    "Assignment",
    "Plan",
    "ShardRows",
    "assign_splits",
    "build_plan",
    "deciding_versions",
    "fingerprint_shard",
    "hashed_order",
    "input_facts",
    "library_versions",
    "num_shards",
]

__getattr__, __dir__ = attach(__name__)
