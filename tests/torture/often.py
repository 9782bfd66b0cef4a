"""python -m tests.torture.often MODULE FLAGS...: a command of ensemble that saves after each batch.

It saves every 20 seconds; a run of a second would never be killed between two parts.
"""

import importlib
import sys

from ensemble.inference import resumable
from orchard import cli

resumable._SAVE_EVERY_SECONDS = 0.0

if __name__ == "__main__":
    module = importlib.import_module(sys.argv.pop(1))
    cli.run(module.main, *module.OPTIONS)
