"""Takes the steps of a run: a stream of batches, one compiled step a stage, a watch on the loss.

What one step computes, its gradients included, is in `trainer.training.step`.
"""

import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from orchard import storage
from orchard.errors import OrchardError
from trainer.optim import learning_rate, learning_rates
from trainer.runtime import StopRequests
from trainer.training.plan import smaller_batches
from trainer.training.progress import Reporter, StepClock
from trainer.training.run import Run
from trainer.training.step import Batch, Step, StepResults


class BlowUp(Exception):
    """NaN, or a loss beyond --max_loss; `step` counts the steps before the bad one."""

    def __init__(self, step: int, what: str):
        super().__init__(f"{what} at step {step}")
        self.step = step


class Trainer:
    """Advances a run's state from where it is; see `train`.

    A context manager: a profile that is being recorded ends with the block at the latest.
    """

    def __init__(self, run: Run, stop: StopRequests, report: Reporter):
        self._run, self._stop, self._report = run, stop, report
        self._clock = StepClock()
        self._batches = self._read_on()
        self._steps: dict[bool, Step] = {}  # Of the stage where the head alone learns: True.
        self._profile = run.config.profile_range() if run.config.profile_steps else (-1, -1)
        self._profiling = False

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *_: object) -> None:
        self._end_profile()

    def train(self, until: int) -> bool:
        """Train up to step `until`; returns whether a stop was asked for before or there.

        Raises:
            BlowUp: after which `restart` must be called.
        """
        progress = self._run.state.progress
        if progress.step < until:
            step, is_new = self._stage_step()
            with step.holding_state():
                if self._train(step, until, is_new):
                    return True
        if until == self._run.plan.total_steps:
            self._end_profile()
        return False

    def _train(self, step: Step, until: int, is_new: bool) -> bool:
        """`train` within one stage; `is_new`: the first call compiles."""
        progress = self._run.state.progress
        while progress.step < until:
            count = self._count(until, step.options.steps_per_call)
            began = time.monotonic()
            results = self._call(step, count)
            seconds = time.monotonic() - began
            self._clock.add(count, seconds, results.wait_seconds, compiled=is_new)
            self._account(results.losses, step.options.time_data)
            self._stop.took(seconds)
            is_new = False
            if self._stop.requested():
                self._end_profile()
                return True
        return False

    def restart(self) -> None:
        """Read the data from the state's step on: after a recovery."""
        self._batches = self._read_on()
        self._report.back_to(self._run.state.progress.step)

    def _read_on(self) -> Iterator[Batch]:
        first = self._run.state.progress.step
        return self._run.feed.train_batches(first, self._run.plan.total_steps - first)

    def _stage_step(self) -> tuple[Step, bool]:
        """The compiled step of the current stage, and whether its first call will compile it."""
        head_only = self._run.head_only
        is_new = head_only not in self._steps
        if is_new:
            self._steps = {head_only: self._run.make_step()}
        return self._steps[head_only], is_new

    def _count(self, until: int, steps_per_call: int) -> int:
        """Steps of the next call: none beyond a log line, a stage or an end of the profile."""
        step, every = self._run.state.progress.step, self._run.log_every_steps
        ends = [until, (step // every + 1) * every, step + steps_per_call]
        first, last = self._profile
        ends += [end for end in (first, last + 1) if end > step]
        return min(ends) - step

    def _call(self, step: Step, count: int) -> StepResults:
        run = self._run
        done = run.state.progress.step
        first, last = self._profile
        if first <= done <= last and not self._profiling:  # A resumed run may begin in between.
            storage.make_directory(run.tensorboard_dir)  # Else closed to a group.
            run.accelerator.runtime.start_profile(run.tensorboard_dir)
            self._profiling = True
        rates = learning_rates(run.plan.schedule, done, count)
        try:
            with run.feed.damage_named():
                results = step.run(self._batches, rates)
        except tf.errors.ResourceExhaustedError as error:
            raise out_of_memory(run, error) from None
        if done + count > last:
            self._end_profile()
        return results

    def _end_profile(self) -> None:
        if self._profiling:
            self._run.accelerator.runtime.stop_profile()
            self._profiling = False

    def _account(self, losses: np.ndarray, waits_are_timed: bool) -> None:
        progress, config = self._run.state.progress, self._run.config
        bad = np.flatnonzero(~(losses <= config.max_loss))  # NaN compares false.
        if len(bad):
            raise BlowUp(progress.step + int(bad[0]), f"loss {losses[bad[0]]:g}")
        progress.step += len(losses)
        progress.loss_sum += float(np.sum(losses, dtype=np.float64))
        progress.loss_count += len(losses)
        self._report.advance(len(losses), float(losses[-1]))
        at_end = progress.step == self._run.plan.total_steps
        if progress.step % self._run.log_every_steps == 0 or at_end:
            self._log_line(waits_are_timed)

    def _log_line(self, waits_are_timed: bool) -> None:
        run, progress = self._run, self._run.state.progress
        schedule = run.plan.schedule
        self._report.write(
            "train",
            progress.step,
            epoch=round(progress.step / run.plan.steps_per_epoch, 4),
            loss=progress.loss_sum / progress.loss_count,
            learning_rate=learning_rate(schedule, progress.step - 1),
            **self._clock.take(run.plan.batch_size, waits=waits_are_timed),
        )
        progress.loss_sum, progress.loss_count = 0.0, 0


def out_of_memory(run: Run, error: Exception, evaluating: bool = False) -> OrchardError:
    """The error for a batch that the device cannot hold, with one that is half as large.

    Args:
        run: the training.
        error: what TensorFlow says of memory and of disks alike.
        evaluating: whether it was a batch of an evaluation.
    """
    if on_disk := storage.explain(error):
        return OrchardError(on_disk)
    config, plan, replicas = run.config, run.plan, run.accelerator.num_replicas
    if evaluating and config.eval_batch_size:
        images = plan.eval_batch_size // replicas
        advice = f"--eval_batch_size={images // 2 * replicas}" if images > 1 else ""
    else:
        images = plan.batch_size // replicas // config.accumulation_steps
        advice = smaller_batches(config, plan, replicas)
    return OrchardError(
        f"the device is out of memory with {images} images of "
        f"{config.height_px}x{config.width_px} px a replica; try "
        f"{advice or 'a smaller --image_size, or another --architecture'}; "
        "python -m trainer.preflight --find_batch says what fits a TPU"
    )
