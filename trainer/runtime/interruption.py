"""Reasons to save and stop early: SIGTERM, a notice of preemption, time used up."""

import contextlib
import math
import signal
import time
from collections.abc import Iterator

import tensorflow as tf

from trainer.runtime.accelerator import Accelerator
from trainer.runtime.options import InterruptionOptions
from trainer.runtime.preemption import watch_preemption

EXIT_RUN_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: "try the same command again".


@contextlib.contextmanager
def stop_requests(
    options: InterruptionOptions, started: float, accelerator: Accelerator
) -> Iterator["StopRequests"]:
    """In this context SIGTERM (Kubernetes, Slurm) is a request instead of the process's end.

    Args:
        options: --max_minutes and --watch_preemption.
        started: time.monotonic() at which the limit began to count.
        accelerator: its workers agree on the step at which they stop.
    """
    deadline = started + 60 * options.max_minutes if options.max_minutes else math.inf
    requests = StopRequests(deadline, accelerator)
    previous = signal.signal(signal.SIGTERM, lambda number, frame: requests.note("SIGTERM"))
    try:
        with contextlib.ExitStack() as watches:
            if options.watch_preemption:
                watches.enter_context(watch_preemption(requests.note))
            yield requests
    finally:
        # None stands for a handler that is not Python's: it cannot be set again.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)


class StopRequests:
    """What asked to stop, if anything did.

    Args:
        deadline: time.monotonic() at which all must be saved.
        accelerator: its workers agree on the answers.

    Attributes:
        reason: why to stop, once that is so.
    """

    def __init__(self, deadline: float, accelerator: Accelerator):
        self._deadline, self._accelerator = deadline, accelerator
        self._notice: str | None = None
        self._longest_seconds = 0.0
        self.reason = "another worker stops"

    def note(self, what: str) -> None:
        """A reason to stop before the machine is gone."""
        self._notice = self.reason = what

    def took(self, seconds: float) -> None:
        """Note how long something took that cannot be cut short: a call, an evaluation, a save."""
        self._longest_seconds = max(self._longest_seconds, seconds)

    def requested(self) -> bool:
        """Whether to save and stop now; the same answer on every worker."""
        # Leave time for the longest operation so far and for a save, which may take as long.
        late = time.monotonic() + 2 * self._longest_seconds > self._deadline
        if late and not self._notice:
            self.reason = "--max_minutes"
        return _any_worker(self._notice is not None or late, self._accelerator)

    def urgent(self) -> bool:
        """Whether the machine is about to go; the same answer on every worker."""
        return _any_worker(self._notice is not None, self._accelerator)


def same_on_all_workers(value: int, accelerator: Accelerator) -> bool:
    """Whether every worker calls this with the same value."""
    if accelerator.num_hosts == 1:
        return True
    total = _sum_over_replicas(value, accelerator)
    squares = _sum_over_replicas(value * value, accelerator)
    # The values are equal if their variance is 0.
    return squares * accelerator.num_replicas == total * total


def _any_worker(flag: bool, accelerator: Accelerator) -> bool:
    return flag if accelerator.num_hosts == 1 else _sum_over_replicas(int(flag), accelerator) > 0


def _sum_over_replicas(value: int, accelerator: Accelerator) -> int:
    strategy = accelerator.strategy
    values = strategy.run(lambda: tf.constant(value, tf.int64))
    return int(strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))
