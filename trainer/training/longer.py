"""More epochs for a run that has begun or ended: it goes on where its learning rate can.

A schedule that does not depend on the length of the training gives every step the same learning
rate in a longer one. So such a run, asked for more, is what it would have been had it been asked
for that at first (but for the evaluation at its earlier end). One that spans the training, as
cosine does, has gone down to its end and cannot go on.
"""

from collections.abc import Sequence

from orchard.errors import OrchardError
from orchard.formats import TrainingCheckpoint
from trainer.config import Change, TrainConfig, name_changes
from trainer.optim import SCHEDULES_OF_ANY_LENGTH

_LENGTH = {"epochs", "min_steps", "max_epochs", "total_steps"}


def asks_for_more(changes: Sequence[Change]) -> bool:
    """Whether nothing but the length has changed, and some of it was raised."""
    return {change.name for change in changes} <= _LENGTH and any(
        change.new > change.old for change in changes
    )


def check_goes_on(config: TrainConfig, changes: Sequence[Change], finished: bool) -> None:
    """Refuse a longer training whose learning rate cannot go on.

    Args:
        config: with the new length.
        changes: of the length.
        finished: whether the shorter training has left its weights.
    """
    if config.schedule not in SCHEDULES_OF_ANY_LENGTH:
        raise OrchardError(
            f"{config.run_dir}: {name_changes(changes)}; --schedule={config.schedule} spans the "
            f"whole training, which cannot become longer. {_way_out(config, finished)}"
        )


def check_not_stopped_early(
    config: TrainConfig, changes: Sequence[Change], saved: TrainingCheckpoint
) -> None:
    """Refuse more epochs for a run that did not use up those that it had."""
    step, total_steps = saved.step, saved.meta.resolved.total_steps
    if saved.meta.progress.finished and step < total_steps:
        raise OrchardError(
            f"{config.run_dir}: {name_changes(changes)}; it ended at step {step} of {total_steps} "
            f"by --early_stopping_evals={config.early_stopping_evals}, so that more of them change "
            f"nothing. {_way_out(config, finished=True)}"
        )


def _way_out(config: TrainConfig, finished: bool) -> str:
    if not finished:
        return "Use the earlier flags again, or another --run_dir"
    return f"Begin another with its weights: --weights={config.run_dir} --run_dir=NEW"
