"""Losses, optimizers and learning-rate schedules."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.optim.loss import LOSSES, Loss, LossOptions
    from trainer.optim.objective import Objective, class_weights
    from trainer.optim.optimizers import clip_by_global_norm, make_optimizer
    from trainer.optim.options import ObjectiveOptions, OptimizerOptions, ScheduleOptions
    from trainer.optim.schedules import (
        SCHEDULES,
        SCHEDULES_OF_ANY_LENGTH,
        Schedule,
        learning_rate,
        learning_rates,
    )

__all__ = [
    "LOSSES",
    "Loss",
    "LossOptions",
    "Objective",
    "ObjectiveOptions",
    "OptimizerOptions",
    "SCHEDULES",
    "SCHEDULES_OF_ANY_LENGTH",
    "Schedule",
    "ScheduleOptions",
    "class_weights",
    "clip_by_global_norm",
    "learning_rate",
    "learning_rates",
    "make_optimizer",
]

__getattr__, __dir__ = attach(__name__)
