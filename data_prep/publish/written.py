"""All that is known of a dataset once its shards are written."""

from dataclasses import dataclass

from data_prep.checks import CheckedImages
from data_prep.config import PrepConfig
from data_prep.plan import Assignment, Plan
from data_prep.shard import WrittenShard


@dataclass(frozen=True)
class WrittenDataset:
    """A dataset whose shards are written; `shards` are in the order of the plan's."""

    config: PrepConfig
    images: CheckedImages
    assignment: Assignment
    plan: Plan
    shards: tuple[WrittenShard, ...]


@dataclass(frozen=True)
class Times:
    """When each step ended, in seconds since 1970: what only `run_log.json` may hold."""

    started: float
    checked: float
    written: float
