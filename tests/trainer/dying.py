"""python -m tests.trainer.dying STEP FLAGS...: trainer.main that kills itself after a step.

With `write:STEP` it does so in the middle of writing that step's checkpoint, or the next one that
there is, and after a later step.

A test that watches for the moment comes too late on a busy machine.
"""

import os
import re
import signal
import sys
import threading

from orchard import cli
from orchard.formats import npz
from trainer import main
from trainer.training import steps


def _die_after(step: int) -> None:
    account = steps.Trainer._account

    def account_or_die(self, *arguments):
        account(self, *arguments)
        if self._run.state.progress.step >= step:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.Trainer._account = account_or_die


def _die_writing(step: int) -> None:
    account, write, later = steps.Trainer._account, npz.write, threading.Event()
    reached = step

    def account_and_tell(self, *arguments):
        nonlocal reached
        account(self, *arguments)
        if self._run.state.progress.step > reached:
            later.set()

    def half_write(path, arrays):
        nonlocal reached
        found = re.search(r"step-(\d+)\.npz", path)
        if not found or int(found[1]) < step:
            return write(path, arrays)
        reached = int(found[1])
        with open(f"{path}.{os.getpid()}.tmp", "wb") as file:
            file.write(b"half of it")
        assert later.wait(60), "no step was taken while the checkpoint was written"
        os.kill(os.getpid(), signal.SIGKILL)

    steps.Trainer._account, npz.write = account_and_tell, half_write


if __name__ == "__main__":
    moment = sys.argv.pop(1)
    if moment.startswith("write:"):
        _die_writing(int(moment.removeprefix("write:")))
    else:
        _die_after(int(moment))
    cli.run(main.main, *main.OPTIONS)
