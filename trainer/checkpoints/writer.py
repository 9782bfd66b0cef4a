"""Writes the checkpoints of a training beside it: the loop goes on once its state is copied."""

import time
from collections.abc import Callable
from concurrent.futures import Future

from absl import logging

from orchard.errors import OrchardError
from orchard.parallel import DaemonExecutor
from trainer.runtime import StopRequests


class CheckpointWriter:
    """Writes one checkpoint at a time, in a thread of its own; a context manager.

    The end of the block waits for what is being written, but after a second Ctrl-C, which stops at
    once: as a kill does, it leaves the checkpoint before.

    Args:
        stop: is told which step is saved and how long that took, and asked to stop where a
            checkpoint cannot be written: what cannot be saved is not worth computing.
    """

    def __init__(self, stop: StopRequests) -> None:
        self._stop = stop
        self._executor = DaemonExecutor(1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._executor.shutdown(wait=False)
        if isinstance(error, KeyboardInterrupt):
            return
        try:
            self.wait()
        except OrchardError as failure:
            if error is None:
                raise
            logging.warning("%s", failure)  # What ends the block is said by its own error.

    def begin(self, step: int, write: Callable[[], None]) -> None:
        """Have `write` called, once what is being written is done.

        Args:
            step: whose state it writes.
            write: must touch nothing that training changes, and call no collective.

        Raises:
            OrchardError: the one before could not be written.
        """
        self.wait()
        self._writing = self._executor.submit(self._write, step, write)

    def wait(self) -> None:
        """Return once nothing is being written.

        Raises:
            OrchardError: it could not be.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, step: int, write: Callable[[], None]) -> None:
        began = time.monotonic()
        try:
            write()
        except BaseException:
            self._stop.note("a checkpoint could not be written")
            raise
        self._stop.saved(step, time.monotonic() - began)
