"""train_and_evaluate(config): the one file to read first.

A network is trained on some splits of a dataset and evaluated on others as it goes; the weights
of the best evaluation become a SavedModel. All of it can be interrupted: the same command goes on
from the last checkpoint and, with --deterministic, ends in the same bits.
"""

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from orchard.errors import OrchardError
from orchard.formats import EVAL_LOGITS, WeightsCheckpoint, WeightsMeta
from trainer.checkpoints import (
    network_arrays,
    prune_best_checkpoints,
    save_best_checkpoint,
    save_checkpoint,
)
from trainer.config import TrainConfig
from trainer.data import set_gcs_read_options
from trainer.evaluation import Diverged, evaluate, intact_rows, metric_names
from trainer.results import finish_run, is_finished
from trainer.runtime import EXIT_RUN_AGAIN, StopRequests, check_pod, connect_to_train, stop_requests
from trainer.training import (
    BlowUp,
    Reporter,
    Run,
    Trainer,
    out_of_memory,
    prepare,
    recover_run,
    resume_run,
    run_lock,
)


def train_and_evaluate(config: TrainConfig, started: float | None = None) -> int:
    """Train, or go on training, until the run is finished.

    Args:
        config: what to do.
        started: time.monotonic() from which --max_minutes counts; default: now.

    Returns:
        The exit status: 0 when run.json is written, `EXIT_RUN_AGAIN` when told to stop before.
    """
    if is_finished(config):
        print(f"finished already, nothing to do: {config.run_dir}")
        return 0
    set_gcs_read_options(config.dataset)
    accelerator = connect_to_train(config)
    check_pod(accelerator, {"run_dir": config.run_dir, "dataset": config.dataset}, config)
    try:
        with (
            run_lock(config.run_dir, accelerator.is_chief) as check_lock,
            stop_requests(config, started or time.monotonic(), accelerator) as stop,
        ):
            return _train_to_the_end(prepare(config, accelerator), stop, check_lock)
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        if accelerator.num_hosts == 1 and accelerator.kind != "tpu":
            raise
        reason = str(error).splitlines()[0][:200]
        print(f"a worker or the TPU was lost ({reason}): run the same command again on all workers")
        return EXIT_RUN_AGAIN


def _train_to_the_end(run: Run, stop: StopRequests, check_lock: Callable[[], None]) -> int:
    resume_run(run)
    with _reporter(run) as report:
        trainer = Trainer(run, stop, report)
        recoveries = 0
        while not run.state.progress.finished:
            try:
                stopped = trainer.train(_next_stop(run))
                check_lock()
                if run.evaluation_due:
                    _evaluate(run, stop, report)
                    check_lock()
            except BlowUp as blow_up:
                recoveries += 1
                recover_run(run, blow_up.step, str(blow_up), recoveries, report)
                trainer.restart()
                continue
            _save(run, stop, report)
            if (stopped or stop.requested()) and not run.state.progress.finished:
                return _stop(run, stop, report)
    if run.accelerator.is_chief:
        check_lock()
        finish_run(run.config.run_dir)
        print(f"run finished: {run.config.run_dir}")
    return 0


def _next_stop(run: Run) -> int:
    if run.evaluation_due:  # It was cut short.
        return run.state.progress.step
    return run.plan.next_stop(run.state.progress.step, run.config.checkpoint_every_steps)


def _evaluate(run: Run, stop: StopRequests, report: Reporter) -> None:
    """Score the evaluation splits, keep the weights if they are the best, see whether to go on."""
    progress, began = run.state.progress, time.monotonic()
    with run.evaluation_weights():
        arrays: dict[str, np.ndarray] = {}
        scores: dict[str, float] = {}
        skipped = 0
        if run.eval_records is not None:
            logits = _eval_logits(run, stop, report)
            if logits is None:
                return
            arrays[EVAL_LOGITS] = logits
            scores, skipped = _scores(run, logits)
        best = progress.note(run.best_metric, scores)
        if best and run.accelerator.is_chief:
            arrays |= network_arrays(run.network)
            weights = WeightsCheckpoint(progress.step, arrays, WeightsMeta(scores))
            save_best_checkpoint(run.config.run_dir, weights)
    patience = run.config.early_stopping_evals
    progress.finished = progress.step == run.plan.total_steps or (
        0 < patience <= progress.evals_since_best
    )
    stop.took(time.monotonic() - began)
    if scores:
        text = "  ".join(f"{name} {scores[name]:.4f}" for name in _shown(run))
        text = f"step {progress.step}: {text}{'  (best)' if best else ''}"
        values = {**scores, "seconds": round(time.monotonic() - began, 2)}
        if skipped:
            text += f"  (without {skipped} damaged records)"
            values["skipped_records"] = skipped
        report.write("eval", progress.step, text, best=best, **values)


def _eval_logits(run: Run, stop: StopRequests, report: Reporter) -> np.ndarray | None:
    """The logits of all evaluation records; None where there is no time left for them."""
    num_batches = -(-len(run.eval_records.ids) // run.plan.eval_batch_size)
    with report.sub_bar(num_batches, "evaluate") as bar:

        def go_on() -> bool:
            bar.update()
            return not stop.urgent()

        try:
            with run.feed.eval_damage_named():
                return run.evaluator.logits(go_on)
        except tf.errors.ResourceExhaustedError:
            raise out_of_memory(run) from None
        except Diverged:
            raise BlowUp(run.state.progress.step - 1, "weights that are no numbers") from None


def _scores(run: Run, logits: np.ndarray) -> tuple[dict[str, float], int]:
    """Scores on the records that could be read, and the number of the others."""
    records, intact = run.eval_records, intact_rows(logits)
    if not intact.any():
        raise OrchardError(
            f"all {len(records)} records of {'+'.join(records.splits)} are damaged; prepare the "
            "dataset again"
        )
    scores = evaluate(logits[intact], records.targets[intact], records.task)
    return scores, int(np.sum(~intact))


def _save(run: Run, stop: StopRequests, report: Reporter) -> None:
    began, config = time.monotonic(), run.config
    if run.accelerator.is_chief:
        report.flush()
        kept = save_checkpoint(config.run_dir, run.checkpoint(), config.keep_checkpoints)
        # Each of them may be what a damaged newer one is passed over for.
        best_steps = {run.state.progress.best_step_at(step, run.best_metric) for step in kept}
        prune_best_checkpoints(config.run_dir, best_steps)
    stop.took(time.monotonic() - began)


def _stop(run: Run, stop: StopRequests, report: Reporter) -> int:
    step = run.state.progress.step
    text = (
        f"stopped after step {step} of {run.plan.total_steps} ({stop.reason}): run the same "
        "command again to go on"
    )
    report.write("event", step, text, event="stopped", reason=stop.reason)
    logging.info(text)
    return EXIT_RUN_AGAIN


def _reporter(run: Run) -> Reporter:
    return Reporter(
        run.config.run_dir,
        run.state.progress.step,
        run.plan.total_steps,
        chief=run.accelerator.is_chief,
        bar=run.config.progress,
    )


def _shown(run: Run) -> list[str]:
    return list(dict.fromkeys([run.best_metric, *metric_names(run.train_records.task, main=True)]))
