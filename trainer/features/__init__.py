"""Frozen features: a backbone runs once over the records, and heads are solved on what it gives.

Start at `training`: it takes the place of the steps where --features=frozen. `backbone` is the
network without and with a head, `views` gives the features of records, `cache` keeps them.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.features.cache import Draw, FeatureView
    from trainer.features.training import train_head

__all__ = ["Draw", "FeatureView", "train_head"]

__getattr__, __dir__ = attach(__name__)
