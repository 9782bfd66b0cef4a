"""train_and_evaluate(config): the one file to read first.

A network is trained on some splits of a dataset and evaluated on others as it goes; the weights
of the best evaluation become a SavedModel. All of it can be interrupted: the same command goes on
from the last checkpoint and, with --deterministic, ends in the same bits. With --features=frozen a
head is solved on the features of a network that does not learn: `trainer.features`.

Where to look: `trainer/training/step.py` computes a step, its loss, gradients and update;
`trainer/training/steps.py` takes one after the other; `trainer/optim` has losses, optimizers and
learning rates; `trainer/models` the networks; `trainer/data` the order of the records.
"""

import time
from collections.abc import Callable, Sequence

import tensorflow as tf
from absl import logging

from orchard import storage
from orchard.errors import OrchardError, in_one_line
from orchard.formats import EVAL_LOGITS, LAST_STEP, WeightsCheckpoint, WeightsMeta, serving_dir
from trainer.checkpoints import (
    CheckpointWriter,
    network_arrays,
    prune_best_checkpoints,
    save_best_checkpoint,
    save_checkpoint,
)
from trainer.config import TrainConfig
from trainer.data import set_gcs_read_options
from trainer.evaluation import Diverged, metric_names
from trainer.features import train_head
from trainer.loggers import LoggedRun, Logger, Loggers, make_loggers
from trainer.results import closing_lines, export_for_serving, finish_run, is_finished
from trainer.runtime import (
    EXIT_RUN_AGAIN,
    Accelerator,
    StopRequests,
    check_pod,
    connect_to_train,
    stop_requests,
    wait_for_all_workers,
)
from trainer.saved_config import SavedConfig
from trainer.training import (
    BlowUp,
    Evaluation,
    Reporter,
    Run,
    Scores,
    Trainer,
    check_layout,
    opening_lines,
    out_of_memory,
    prepare,
    recover_run,
    resume_run,
    run_lock,
)


def train_and_evaluate(
    config: TrainConfig, started: float | None = None, loggers: Sequence[Logger] = ()
) -> int:
    """Train, or go on training, until the run is finished.

    Args:
        config: what to do.
        started: time.monotonic() from which --max_minutes counts; default: now.
        loggers: are told what happens, besides those of --loggers, and can ask to stop.

    Returns:
        The exit status: 0 when run.json is written, `EXIT_RUN_AGAIN` when asked to stop before.
    """
    if config.budget:
        raise OrchardError(
            f"--budget={config.budget} is divided before a training begins: use trainer.main, or "
            "pass what trainer.budget.within_budget makes of the config"
        )
    check_layout(config.run_dir, all_folds=False)
    if is_finished(config):
        print(f"finished already, nothing to do: {config.run_dir}")
        if config.serving and not storage.exists(serving_dir(config.run_dir, config.serving)):
            _serve(config)
        return 0
    set_gcs_read_options(config.dataset)
    accelerator = connect_to_train(config)
    check_pod(accelerator, {"run_dir": config.run_dir, "dataset": config.dataset}, config)
    told = make_loggers(config, loggers, accelerator.is_chief)
    try:
        with (
            run_lock(config.run_dir, accelerator.is_chief) as check_lock,
            stop_requests(config, started or time.monotonic(), accelerator) as stop,
        ):
            train = train_head if config.is_frozen else _train_network
            if not train(config, accelerator, stop, check_lock, told):
                return EXIT_RUN_AGAIN
            if accelerator.is_chief:
                check_lock()
                record = finish_run(config.run_dir)
                told.end(record)
                print("\n".join(closing_lines(config, record)))
                _serve(config)
            # With --fold=all each worker goes on with what the chief has written.
            wait_for_all_workers(accelerator)
            return 0
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        if not _can_lose_devices(accelerator):
            raise
        lost = f"a worker or the TPU was lost ({in_one_line(error)})"
        print(f"{lost}: run the same command again on all workers")
        return EXIT_RUN_AGAIN
    finally:
        told.end(None)  # Where it has not come to its end.


def _serve(config: TrainConfig) -> None:
    """Write the finished run for model servers, where that is asked for."""
    if config.serving:
        print(f"for model servers: {export_for_serving(config.run_dir, config.serving)}")


def _train_network(
    config: TrainConfig,
    accelerator: Accelerator,
    stop: StopRequests,
    check_lock: Callable[[], None],
    loggers: Loggers,
) -> bool:
    """Begin, or go on, and train to the end; False where a request to stop comes before it."""
    run = prepare(config, accelerator)
    resume_run(run)
    stop.saved_step = run.state.progress.step
    if accelerator.is_chief:
        SavedConfig(config, run.resolved()).save()
        print("\n".join(opening_lines(run)))
    step, total_steps = run.state.progress.step, run.plan.total_steps
    loggers.begin(LoggedRun(config.run_dir, config.flags(), step, total_steps, stop.note))
    with _reporter(run, loggers) as report:
        return _train(run, stop, report, check_lock)


def _train(run: Run, stop: StopRequests, report: Reporter, check_lock: Callable[[], None]) -> bool:
    """Train and evaluate to the end; False where a request to stop comes before it."""
    if run.state.progress.finished:
        return True
    recoveries = 0
    with Trainer(run, stop, report) as trainer, CheckpointWriter(stop) as writer:
        while not run.state.progress.finished:
            best = None
            try:
                stopped = trainer.train(_next_stop(run))
                if run.evaluation_due:
                    check_lock()
                    best = _evaluate(run, stop, report)
            except BlowUp as blow_up:
                recoveries += 1
                writer.wait()
                recover_run(run, blow_up.step, str(blow_up), recoveries, report)
                trainer.restart()
                continue
            writer.wait()
            check_lock()
            _save(run, stop, report, writer, best)
            if (stopped or stop.requested()) and not run.state.progress.finished:
                writer.wait()
                _report_stop(run, stop, report)
                return False
    return True


def _next_stop(run: Run) -> int:
    """The step at which to evaluate or save next."""
    if run.evaluation_due:  # The last evaluation was interrupted.
        return run.state.progress.step
    return run.plan.next_stop(run.state.progress.step, run.config.checkpoint_every_steps)


def _evaluate(run: Run, stop: StopRequests, report: Reporter) -> WeightsCheckpoint | None:
    """Score the weights, see whether training is over; returns them if they are among the best."""
    began, weights = time.monotonic(), None
    with run.evaluation_weights():
        scores = None
        if run.evaluation is not None:
            scores = _scores(run, run.evaluation, stop, report)
            if scores is None:  # No time is left for them.
                return None
        progress = run.state.progress
        best = progress.note(run.best_metric, scores.by_metric if scores else {})
        kept = progress.best_steps_at(progress.step, run.best_metric, run.config.keep_best)
        if (best or progress.step in kept) and run.accelerator.is_chief:
            weights = _evaluated_weights(run, scores)
    run.state.progress.finished = _is_over(run)
    seconds = time.monotonic() - began
    stop.took(seconds)
    if scores:
        _report_scores(run, report, scores, best, seconds)
    return weights


def _scores(
    run: Run, evaluation: Evaluation, stop: StopRequests, report: Reporter
) -> Scores | None:
    with report.sub_bar(evaluation.num_batches, "evaluate") as bar:

        def go_on() -> bool:
            bar.update()
            return not stop.urgent()

        try:
            return evaluation.scores(go_on)
        except tf.errors.ResourceExhaustedError as error:
            raise out_of_memory(run, error, evaluating=True) from None
        except Diverged:
            raise BlowUp(run.state.progress.step - 1, "weights that are no numbers") from None


def _is_over(run: Run) -> bool:
    """Whether all steps are taken, or --early_stopping_evals says that it is enough."""
    progress, patience = run.state.progress, run.config.early_stopping_evals
    return progress.step == run.plan.total_steps or 0 < patience <= progress.evals_since_best


def _evaluated_weights(run: Run, scores: Scores | None) -> WeightsCheckpoint:
    arrays = network_arrays(run.network)
    if scores:
        arrays = {EVAL_LOGITS: scores.logits, **arrays}
    meta = WeightsMeta(scores.by_metric if scores else {})
    return WeightsCheckpoint(run.state.progress.step, arrays, meta)


def _save(
    run: Run,
    stop: StopRequests,
    report: Reporter,
    writer: CheckpointWriter,
    best: WeightsCheckpoint | None,
) -> None:
    """Copy the training's state, and have it written; `best`: weights to write before it."""
    step = run.state.progress.step
    if not run.accelerator.is_chief:
        stop.saved(step, 0.0)
        return
    report.flush()
    config, metric = run.config, run.best_metric
    checkpoint, progress = run.checkpoint(), run.state.progress.copy()

    def write() -> None:
        if best is not None:
            save_best_checkpoint(config.run_dir, best)
        kept = save_checkpoint(config.run_dir, checkpoint, config.keep_checkpoints)
        # A run may fall back to any of the checkpoints, and then needs the best weights of then.
        best_steps = [progress.best_steps_at(at, metric, config.keep_best) for at in kept]
        prune_best_checkpoints(config.run_dir, set().union(*best_steps))

    writer.begin(step, write)


def _report_scores(run: Run, report: Reporter, scores: Scores, best: bool, seconds: float) -> None:
    step = run.state.progress.step
    shown = "  ".join(f"{name} {scores.by_metric[name]:.4f}" for name in _shown(run))
    picked = best and run.best_metric != LAST_STEP
    mark = f"  (best {run.best_metric})" if picked else ""
    text = f"step {step}, {run.epoch(step)}: {shown}{mark}"
    values = {**scores.by_metric, "seconds": round(seconds, 2)}
    if scores.skipped_records:
        text += f"  (without {scores.skipped_records} damaged records)"
        values["skipped_records"] = scores.skipped_records
    report.write("eval", step, text, best=best, **values)


def _report_stop(run: Run, stop: StopRequests, report: Reporter) -> None:
    step = run.state.progress.step
    text = (
        f"stopped after step {step} of {run.plan.total_steps} ({stop.reason}): run the same "
        "command again to go on"
    )
    report.write("event", step, text, event="stopped", reason=stop.reason)
    logging.info(text)


def _can_lose_devices(accelerator: Accelerator) -> bool:
    return accelerator.num_hosts > 1 or accelerator.kind == "tpu"


def _reporter(run: Run, loggers: Loggers) -> Reporter:
    return Reporter(
        run.config.run_dir,
        run.state.progress.step,
        run.plan.total_steps,
        chief=run.accelerator.is_chief,
        bar=run.config.progress,
        loggers=loggers,
    )


def _shown(run: Run) -> list[str]:
    picked_by = [] if run.best_metric == LAST_STEP else [run.best_metric]
    return list(dict.fromkeys([*picked_by, *metric_names(run.train_records.task, main=True)]))
