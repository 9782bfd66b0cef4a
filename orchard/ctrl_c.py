"""Ctrl-C before a command has begun: the imports of its libraries take up to seconds."""

import os
import signal
from types import FrameType

EXIT_INTERRUPTED = 130  # 128 + SIGINT, what shells report for Ctrl-C.
INTERRUPTED = "interrupted: run the same command again to go on"


def end_at_once() -> None:
    """From now on Ctrl-C ends the process with one line: nothing has begun that it could break.

    The first thing that a command does, before its other imports. An exception would show a
    traceback, or be swallowed by a library that tries an import. `begin` ends this.
    """
    # A shell that runs a command in the background has SIGINT ignored, and so it stays.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def begin() -> None:
    """The command begins: Ctrl-C is a KeyboardInterrupt again, so that it can clean up."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(EXIT_INTERRUPTED)
