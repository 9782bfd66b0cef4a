"""One training: its plan, its parts, the steps, and where it goes on after an interruption."""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.training.assembly import assemble, prepare
    from trainer.training.locking import run_lock
    from trainer.training.plan import NO_SPLIT, Splits, choose_splits, make_plan
    from trainer.training.progress import Reporter, read_metrics
    from trainer.training.resume import (
        CONFIG_FILE,
        check_same_data,
        checkpoint_meta,
        recover_run,
        resume_run,
    )
    from trainer.training.run import Run
    from trainer.training.stages import NETWORK_FILE, with_optimizers
    from trainer.training.step import StepOptions, TrainStep, Update
    from trainer.training.steps import BlowUp, Trainer, out_of_memory

__all__ = [
    "BlowUp",
    "CONFIG_FILE",
    "NETWORK_FILE",
    "NO_SPLIT",
    "Reporter",
    "Run",
    "Splits",
    "StepOptions",
    "TrainStep",
    "Trainer",
    "Update",
    "assemble",
    "check_same_data",
    "checkpoint_meta",
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
