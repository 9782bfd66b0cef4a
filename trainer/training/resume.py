"""Where a training goes on: fresh, from its last checkpoint, or from before a blow-up.

Order of preference:
1. run_dir holds no checkpoint: a fresh start, kept as the checkpoint of step 0.
2. run_dir holds checkpoints of the same training: the newest one that is whole.
3. They are of a shorter one: it goes on, if its learning rate can (`trainer.training.longer`).
4. They are of another training (other flags, data or network): refused, naming what differs.
"""

from collections.abc import Sequence

from orchard.errors import OrchardError
from orchard.formats import TrainingCheckpoint
from trainer.checkpoints import load_latest_checkpoint, save_checkpoint
from trainer.config import Change, TrainConfig, name_changes
from trainer.data import RecordTable
from trainer.models import backbone_fingerprint
from trainer.runtime import same_on_all_workers
from trainer.saved_config import SavedConfig
from trainer.training.clock import ComputeClock
from trainer.training.longer import asks_for_more, check_goes_on, check_not_stopped_early
from trainer.training.progress import Reporter
from trainer.training.run import Run
from trainer.training.stages import save_network_graph


def resume_run(run: Run) -> None:
    """Bring the run's state to its last checkpoint, or make the first one, and start its clock."""
    run_dir = run.config.run_dir
    saved = load_latest_checkpoint(run_dir)
    step = saved.step if saved else -1
    if not same_on_all_workers(step, run.accelerator):
        raise OrchardError(
            f"--run_dir={run_dir}: the workers see different checkpoints there (this one: step "
            f"{step}); it must be one directory that all of them share"
        )
    if saved is not None:
        longer = _check_same_training(run, saved)
        run.state.restore(saved)
        if longer:
            run.state.progress.finished = False
            run.earlier_steps = saved.meta.resolved.total_steps
        # An older version, which kept no time, may have begun it: the sum would be too small.
        known = saved.meta.time is not None
        run.clock = ComputeClock(run.accelerator, saved.meta.time) if known else None
        run.start_fingerprint = saved.meta.start_fingerprint
        return
    run.start_fingerprint = backbone_fingerprint(run.network)
    run.clock = ComputeClock(run.accelerator)
    if run.accelerator.is_chief:
        save_network_graph(run_dir, run.config, run.network)
        save_checkpoint(run_dir, run.checkpoint(), run.config.keep_checkpoints)


def recover_run(run: Run, bad_step: int, what: str, recoveries: int, report: Reporter) -> None:
    """Go back to the last checkpoint after a blow-up; OrchardError beyond --max_recoveries."""
    config = run.config
    if recoveries > config.max_recoveries:
        ids = run.feed.batch_ids(bad_step)
        shown = ", ".join(ids[:8]) + (", ..." if len(ids) > 8 else "")
        again = f", again after {config.max_recoveries} recoveries" if config.max_recoveries else ""
        raise OrchardError(
            f"{what}{again}; the batch holds the ids {shown}; look at these images, or train in "
            "another --run_dir with a lower --learning_rate or --clip_norm=1"
        )
    saved = load_latest_checkpoint(config.run_dir)
    if saved is None:
        raise OrchardError(f"{what}, and {config.run_dir} holds no checkpoint any more; run again")
    run.state.restore(saved)
    count = f"{recoveries} of {config.max_recoveries}"
    text = f"{what}: back to the checkpoint of step {saved.step} (recovery {count})"
    report.write("event", saved.step, text, event="recovered", reason=what)


def _check_same_training(run: Run, saved: TrainingCheckpoint) -> bool:
    """Refuse the checkpoint of another training; returns whether it is of a shorter one."""
    old = SavedConfig(TrainConfig.from_json(saved.meta.config), saved.meta.resolved)
    changes = old.changes_to(SavedConfig(run.config, run.resolved()))
    longer = asks_for_more(changes) and run.plan.total_steps > saved.meta.resolved.total_steps
    if longer:
        named = [change for change in changes if change.name != "total_steps"]
        check_not_stopped_early(run.config, named, saved)
        check_goes_on(run.config, named, finished=saved.meta.progress.finished)
    elif changes:
        raise _other_training(run.config.run_dir, changes)
    check_same_data(run.config.run_dir, saved.meta.dataset.fingerprint, run.train_records)
    return longer


def check_not_begun_otherwise(new: SavedConfig, records: RecordTable) -> None:
    """Refuse a run directory that holds another training: other flags, or other data.

    Args:
        new: what is about to begin, or to be done again.
        records: what it trains on.
    """
    run_dir = new.config.run_dir
    saved = load_latest_checkpoint(run_dir)
    if saved is None:
        return
    old = SavedConfig(TrainConfig.from_json(saved.meta.config), saved.meta.resolved)
    if changes := old.changes_to(new):
        raise _other_training(run_dir, changes)
    check_same_data(run_dir, saved.meta.dataset.fingerprint, records)


def _other_training(run_dir: str, changes: Sequence[Change]) -> OrchardError:
    return OrchardError(
        f"{run_dir} holds a training with other flags: {name_changes(changes)}. Use those again, "
        "or another --run_dir"
    )


def check_same_data(run_dir: str, fingerprint: str, records: RecordTable) -> None:
    """Refuse records of another content than the dataset that a run was trained on."""
    if records.fingerprint != fingerprint:
        raise OrchardError(
            f"{run_dir} was trained on another content of the dataset (fingerprint "
            f"{fingerprint[:12]}, now {records.fingerprint[:12]}); use another --run_dir"
        )
