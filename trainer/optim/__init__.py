"""Losses, optimizers and learning-rate schedules."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.optim import losses
    from trainer.optim.losses import Objective, class_weights
    from trainer.optim.optimizers import clip_by_global_norm, make_optimizer
    from trainer.optim.options import ObjectiveOptions, OptimizerOptions, ScheduleOptions
    from trainer.optim.schedules import SCHEDULES, Schedule, learning_rate, learning_rates

__all__ = [
    "Objective",
    "ObjectiveOptions",
    "OptimizerOptions",
    "SCHEDULES",
    "Schedule",
    "ScheduleOptions",
    "class_weights",
    "clip_by_global_norm",
    "learning_rate",
    "learning_rates",
    "losses",
    "make_optimizer",
]

__getattr__, __dir__ = attach(__name__)
