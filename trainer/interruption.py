"""Reasons to save and stop early: SIGTERM (spot machines, Kubernetes, Slurm), time used up."""

import signal
import time
from types import FrameType

import tensorflow as tf

from trainer.accelerator import Accelerator

EXIT_RUN_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: "try the same command again".


class StopRequests:
    """While active, SIGTERM is noted instead of ending the process.

    Args:
        max_minutes: stop early enough to be done by then; 0: no limit.
        started: time.monotonic() at which the limit began to count.
        accelerator: its workers agree on the step at which they stop.
    """

    def __init__(self, max_minutes: float, started: float, accelerator: Accelerator):
        self._deadline = started + 60 * max_minutes if max_minutes else None
        self._accelerator = accelerator
        self._signalled = False
        self._longest_seconds = 0.0
        self._previous_handler = None

    def __enter__(self) -> "StopRequests":
        self._previous_handler = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_) -> None:
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
        return _any_worker(self._signalled or late, self._accelerator)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signalled = True


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
