"""Loggers: where the progress of a training goes, besides its own metrics.jsonl.

`logger.py` says what a logger is; `kinds` has one a file, `tensorboard` is the one that is used
where nobody says otherwise. `trainer.loop` makes them, `trainer.training` tells them what happens.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from trainer.loggers.logger import (
        LOGGERS,
        LoggedRun,
        Logger,
        LoggerOptions,
        Loggers,
        LogKind,
        make_loggers,
    )

__all__ = [
    "LOGGERS",
    "LogKind",
    "LoggedRun",
    "Logger",
    "LoggerOptions",
    "Loggers",
    "make_loggers",
]

__getattr__, __dir__ = attach(__name__)
