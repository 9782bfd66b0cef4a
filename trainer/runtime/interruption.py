"""Reasons to save and stop early: signals, a notice of preemption, time used up."""

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

from trainer.runtime.accelerator import Accelerator
from trainer.runtime.options import InterruptionOptions
from trainer.runtime.preemption import watch_preemption

# Kubernetes and Slurm send the first, Slurm's --signal usually the last, a lost terminal SIGHUP.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_STDERR = 2
EXIT_RUN_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: "try the same command again".


@contextlib.contextmanager
def stop_requests(
    options: InterruptionOptions, started: float, accelerator: Accelerator
) -> Iterator["StopRequests"]:
    """In this context a signal is a request to save and stop instead of the process's end.

    A second Ctrl-C stops at once. What is ignored, as SIGHUP under nohup, stays so.

    Args:
        options: --max_minutes and --watch_preemption.
        started: time.monotonic() at which the limit began to count.
        accelerator: its workers agree on the step at which they stop.
    """
    deadline = started + 60 * options.max_minutes if options.max_minutes else math.inf
    requests = StopRequests(deadline, accelerator)
    caught = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, requests.on_signal) for number in caught}
    try:
        with contextlib.ExitStack() as watches:
            if options.watch_preemption:
                watches.enter_context(watch_preemption(requests.note))
            yield requests
    finally:
        for number, handler in previous.items():
            # None stands for a handler that is not Python's: it cannot be set again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class StopRequests:
    """What asked to stop, if anything did.

    Args:
        deadline: time.monotonic() at which all must be saved.
        accelerator: its workers agree on the answers.

    Attributes:
        reason: why to stop, once that is so.
        saved_step: of the last checkpoint; -1 before there is one.
    """

    def __init__(self, deadline: float, accelerator: Accelerator):
        self._deadline, self._accelerator = deadline, accelerator
        self._notice: str | None = None
        # Apart: checkpoints are written, and timed, by a thread of their own.
        self._longest_seconds = self._longest_save_seconds = 0.0
        self._interrupts = 0
        self.reason = "another worker stops"
        self.saved_step = -1

    def note(self, what: str) -> None:
        """A reason to stop before the machine is gone."""
        self._notice = self.reason = what

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """A handler of signals: a note, but a second Ctrl-C raises KeyboardInterrupt."""
        del frame
        self.note(signal.Signals(number).name)
        if number != signal.SIGINT:
            return
        self._interrupts += 1
        lost = f"what came after step {self.saved_step}" if self.saved_step >= 0 else "everything"
        if self._interrupts > 1:
            _print_in_handler(f"stopped at once, without saving: {lost} is lost")
            raise KeyboardInterrupt
        _print_in_handler(f"saving and stopping; Ctrl-C again stops at once, and {lost} is lost")

    def took(self, seconds: float) -> None:
        """Note how long something took that cannot be cut short: a call, an evaluation."""
        self._longest_seconds = max(self._longest_seconds, seconds)

    def saved(self, step: int, seconds: float) -> None:
        """Note that a step's checkpoint is there, and how long that took."""
        self.saved_step = step
        self._longest_save_seconds = max(self._longest_save_seconds, seconds)

    def requested(self) -> bool:
        """Whether to save and stop now; the same answer on every worker."""
        # Leave time for the longest operation so far and for a save, which may take as long. What
        # is being written by now is written by then.
        longest_seconds = max(self._longest_seconds, self._longest_save_seconds)
        late = time.monotonic() + 2 * longest_seconds > self._deadline
        if late and not self._notice:
            self.reason = "--max_minutes"
        return any_worker(self._notice is not None or late, self._accelerator)

    def urgent(self) -> bool:
        """Whether the machine is about to go; the same answer on every worker."""
        return any_worker(self._notice is not None, self._accelerator)


def _print_in_handler(text: str) -> None:
    # Not by print: the signal may have come while that was writing.
    os.write(_STDERR, f"\n{text}\n".encode())


def same_on_all_workers(value: int, accelerator: Accelerator) -> bool:
    """Whether every worker calls this with the same value."""
    if accelerator.num_hosts == 1:
        return True
    total = accelerator.runtime.sum_over_replicas(value)
    squares = accelerator.runtime.sum_over_replicas(value * value)
    # The values are equal if their variance is 0.
    return squares * accelerator.num_replicas == total * total


def wait_for_all_workers(accelerator: Accelerator) -> None:
    """Return when every worker has called this."""
    if accelerator.num_hosts > 1:
        accelerator.runtime.sum_over_replicas(0)


def any_worker(flag: bool, accelerator: Accelerator) -> bool:
    """Whether it is so on any worker; every worker has to ask."""
    if accelerator.num_hosts == 1:
        return flag
    return accelerator.runtime.sum_over_replicas(int(flag)) > 0
