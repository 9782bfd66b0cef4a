"""Reasons to save and stop early: SIGTERM, a notice of preemption, time used up."""

import signal
import time

import tensorflow as tf

from trainer.runtime.accelerator import Accelerator
from trainer.runtime.options import InterruptionOptions
from trainer.runtime.preemption import PreemptionWatch

EXIT_RUN_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: "try the same command again".


class StopRequests:
    """While active, SIGTERM (Kubernetes, Slurm) is noted instead of ending the process.

    Args:
        options: --max_minutes and --watch_preemption.
        started: time.monotonic() at which the limit began to count.
        accelerator: its workers agree on the step at which they stop.

    Attributes:
        reason: why to stop, once that is so.
    """

    def __init__(self, options: InterruptionOptions, started: float, accelerator: Accelerator):
        self._deadline = started + 60 * options.max_minutes if options.max_minutes else None
        self._accelerator = accelerator
        self._notice: str | None = None
        self._longest_seconds = 0.0
        self._previous_handler = None
        self._watch = PreemptionWatch(self._note) if options.watch_preemption else None
        self.reason = "another worker was told to stop"

    def __enter__(self) -> "StopRequests":
        self._previous_handler = signal.signal(
            signal.SIGTERM, lambda number, frame: self._note("SIGTERM")
        )
        if self._watch:
            self._watch.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        if self._watch:
            self._watch.__exit__(*exception)
        signal.signal(signal.SIGTERM, self._previous_handler)

    def took(self, seconds: float) -> None:
        """Tell how long something took that cannot be cut short: a call, an evaluation, a save."""
        self._longest_seconds = max(self._longest_seconds, seconds)

    def requested(self) -> bool:
        """Whether to save and stop now; the same answer on every worker."""
        late = self._deadline is not None and (
            # Once more what took longest so far, and once the save.
            time.monotonic() + 2 * self._longest_seconds > self._deadline
        )
        if late and not self._notice:
            self.reason = "--max_minutes"
        return _any_worker(self._notice is not None or late, self._accelerator)

    def urgent(self) -> bool:
        """Whether the machine is about to go; the same answer on every worker."""
        return _any_worker(self._notice is not None, self._accelerator)

    def _note(self, what: str) -> None:
        self._notice = self.reason = what


def same_on_all_workers(value: int, accelerator: Accelerator) -> bool:
    """Whether every worker calls this with the same value."""
    if accelerator.num_hosts == 1:
        return True
    total = _sum_over_replicas(value, accelerator)
    squares = _sum_over_replicas(value * value, accelerator)
    # Equal values are those of no variance.
    return squares * accelerator.num_replicas == total * total


def _any_worker(flag: bool, accelerator: Accelerator) -> bool:
    return flag if accelerator.num_hosts == 1 else _sum_over_replicas(int(flag), accelerator) > 0


def _sum_over_replicas(value: int, accelerator: Accelerator) -> int:
    strategy = accelerator.strategy
    values = strategy.run(lambda: tf.constant(value, tf.int64))
    return int(strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))
