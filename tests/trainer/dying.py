"""python -m tests.trainer.dying STEP FLAGS...: trainer.main that kills itself after a step.

A test that watches for the moment comes too late on a busy machine.
"""

import os
import signal
import sys

from orchard import cli
from trainer import main
from trainer.training import steps


def _die_after(step: int) -> None:
    account = steps.Trainer._account

    def account_or_die(self, *arguments):
        account(self, *arguments)
        if self._run.state.progress.step >= step:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.Trainer._account = account_or_die


if __name__ == "__main__":
    _die_after(int(sys.argv.pop(1)))
    cli.run(main.main, *main.OPTIONS)
