"""One training: its plan, its parts, the steps, and where it goes on after an interruption."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.training.assembly import assemble, prepare
    from trainer.training.locking import run_lock
    from trainer.training.plan import Splits, choose_splits, make_plan
    from trainer.training.progress import Reporter, read_metrics
    from trainer.training.resume import (
        check_same_data,
        recover_run,
        resume_run,
    )
    from trainer.training.run import Run
    from trainer.training.stages import with_optimizers
    from trainer.training.step import StepOptions, TrainStep, Update
    from trainer.training.steps import BlowUp, Trainer, out_of_memory

__all__ = [
    "BlowUp",
    "Reporter",
    "Run",
    "Splits",
    "StepOptions",
    "TrainStep",
    "Trainer",
    "Update",
    "assemble",
    "check_same_data",
    "choose_splits",
    "make_plan",
    "out_of_memory",
    "prepare",
    "read_metrics",
    "recover_run",
    "run_lock",
    "resume_run",
    "with_optimizers",
]

__getattr__, __dir__ = attach(__name__)
