"""python -m tests.trainer.features.dying COUNT FLAGS...: trainer.main that kills itself.

It does so when it is about to keep the features of one shard more than COUNT.
"""

import os
import signal
import sys

from orchard import cli
from trainer import main
from trainer.features import cache


def _die_after(count: int) -> None:
    save, saved = cache.FeatureCache.save, []

    def save_or_die(self, *arguments):
        if len(saved) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        saved.append(save(self, *arguments))

    cache.FeatureCache.save = save_or_die


if __name__ == "__main__":
    _die_after(int(sys.argv.pop(1)))
    cli.run(main.main, *main.OPTIONS)
