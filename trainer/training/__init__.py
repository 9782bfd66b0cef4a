"""One training: its plan, its parts, the steps, and where it goes on after an interruption.

`trainer.loop` drives it; start there. `assembly` makes the parts (`run`: all of them; `plan`: the
numbers; `stages`: what learns when; `feed`: the batches; `moments`: BatchNorm's statistics;
`evaluation`: the scores; `clock`: the time it takes), `steps` takes the steps and `step` is one of
them, where gradients are made and applied; `step_kinds` has it run by TensorFlow or by jax.
`resume` finds where a training goes on, `longer` whether it can be given more epochs, `progress`
shows it.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.training.assembly import assemble, prepare, read_splits
    from trainer.training.clock import ComputeClock
    from trainer.training.continuation import continuation_lines
    from trainer.training.evaluation import Evaluation, Scores
    from trainer.training.feed import Feed
    from trainer.training.locking import check_layout, run_lock
    from trainer.training.longer import asks_for_more, check_goes_on
    from trainer.training.moments import Moments
    from trainer.training.opening import opening_lines
    from trainer.training.plan import Splits, choose_splits, make_plan
    from trainer.training.progress import Reporter, read_metrics
    from trainer.training.resume import (
        check_not_begun_otherwise,
        check_same_data,
        recover_run,
        resume_run,
    )
    from trainer.training.run import Run, trained_dataset
    from trainer.training.stages import save_network_graph, with_optimizers
    from trainer.training.step import StepOptions, Update
    from trainer.training.step_kinds import TrainStep, make_step
    from trainer.training.steps import BlowUp, Trainer, out_of_memory

__all__ = [
    "BlowUp",
    "ComputeClock",
    "Evaluation",
    "Feed",
    "Moments",
    "Reporter",
    "Run",
    "Scores",
    "Splits",
    "StepOptions",
    "TrainStep",
    "Trainer",
    "Update",
    "asks_for_more",
    "assemble",
    "check_goes_on",
    "check_layout",
    "check_not_begun_otherwise",
    "check_same_data",
    "choose_splits",
    "continuation_lines",
    "make_plan",
    "make_step",
    "opening_lines",
    "out_of_memory",
    "prepare",
    "read_metrics",
    "read_splits",
    "recover_run",
    "run_lock",
    "resume_run",
    "save_network_graph",
    "trained_dataset",
    "with_optimizers",
]

__getattr__, __dir__ = attach(__name__)
