"""A command in a process group of its own: started, watched, killed, and what it said."""

import atexit
import contextlib
import functools
import importlib
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn, Protocol

from orchard.parallel.processes import die_with_parent

# A command that has not ended by then hangs; a busy machine may starve one for minutes.
DEADLINE_SECONDS = 900
_ORPHANS_POLL_SECONDS = 0.02
_ORPHANS_SECONDS = 60


class Hang(Exception):
    """A command did not end, or left workers behind."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: its exit status; minus the number of the signal that killed it.
        output: what it printed.
        errors: what it printed to stderr.
        seconds: how long it ran.
        changes: how often something was seen to change in its output.
        work_seconds: from the first such change on.
    """

    status: int
    output: str
    errors: str
    seconds: float
    changes: int
    work_seconds: float

    @property
    def last_words(self) -> str:
        """The end of what it printed, for a report."""
        return (self.errors or self.output).strip()[-3000:]


class Process(Protocol):
    """What `subprocess.Popen` has."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Its exit status; None: it runs."""

    def wait(self) -> int:
        """Its exit status, once it has ended."""

    def send_signal(self, number: int) -> None:
        """Send it a signal."""


class Forked:
    """`python -m MODULE FLAGS` as a fork of this process, which has imported what it imports.

    It begins where the command's own work does: seconds of imports are saved, in which a kill finds
    nothing to spoil.
    """

    def __init__(
        self, command: Sequence[str], output: IO[bytes], errors: IO[bytes], preload: Sequence[str]
    ) -> None:
        for module in preload:
            importlib.import_module(module)
        self.returncode: int | None = None
        parent, self.pid = os.getpid(), os.fork()
        if not self.pid:
            _become(parent, command, output, errors)

    def poll(self) -> int | None:
        """Its exit status; None: it runs."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self._wait(0) or 0

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def _wait(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def _begin(parent: int) -> None:
    # What outlived a killed campaign would disturb the next one.
    die_with_parent(parent)
    # Whoever starts this in a shell's background has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _become(parent: int, command: Sequence[str], output: IO[bytes], errors: IO[bytes]) -> NoReturn:
    """What the fork does: the command, and never anything of its parent's."""
    status = 1
    try:
        os.setsid()
        _begin(parent)
        for number, file in enumerate((output, errors), 1):
            os.dup2(file.fileno(), number)
        _, _, module, *flags = command
        sys.argv = [module, *flags]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        # As an interpreter ends.
        with contextlib.suppress(BaseException):
            threading._shutdown()
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


class Running:
    """A running command, whose output directory is watched.

    Args:
        command: the arguments.
        look: what of the output directory changes as the command works.
        poll_seconds: how often to look.
        environment: variables besides those of this process.
        preload: modules; where there are any, it is a fork of this process, which imports them.
    """

    def __init__(
        self,
        command: Sequence[str],
        look: Callable[[], object],
        poll_seconds: float,
        environment: dict[str, str] | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        self._output, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._look, self._seen, self._poll_seconds = look, look(), poll_seconds
        self.changes, self.is_fork = 0, bool(preload)
        self._first_change = float("inf")
        self._began = time.monotonic()
        self.process: Process = (
            Forked(command, self._output, self._errors, preload)
            if preload
            else subprocess.Popen(
                command,
                env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._errors,
                start_new_session=True,
                preexec_fn=functools.partial(_begin, os.getpid()),
            )
        )

    def watch(self, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the end, or until `until()`; whether it still runs.

        Raises:
            Hang: it takes longer than any run may.
        """
        while self.process.poll() is None:
            if (seen := self._look()) != self._seen:
                self._seen = seen
                self.changes += 1
                self._first_change = min(self._first_change, time.monotonic())
            if until():
                return True
            if self.seconds > DEADLINE_SECONDS:
                self.signal(signal.SIGKILL)
                self.process.wait()
                raise Hang(f"it did not end in {DEADLINE_SECONDS} s")
            time.sleep(self._poll_seconds)
        return False

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._began

    @property
    def work_seconds(self) -> float:
        """Since the first change of its output; 0: there was none."""
        return max(0.0, time.monotonic() - self._first_change)

    def signal(self, number: int, whole_group: bool = True) -> None:
        """Send a signal to all its processes, or to the first one alone."""
        # It may have ended just now.
        with contextlib.suppress(ProcessLookupError):
            if whole_group:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)

    def end(self) -> Ended:
        """Wait for it and for the last of its workers.

        Raises:
            Hang: it takes longer than any run may, or a worker outlives it by a minute.
        """
        self.watch()
        took, worked = self.seconds, self.work_seconds
        self._wait_for_orphans()
        texts = []
        for file in (self._output, self._errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        return Ended(self.process.wait(), *texts, took, self.changes, worked)

    def _wait_for_orphans(self) -> None:
        deadline = time.monotonic() + _ORPHANS_SECONDS
        while left := processes_of_group(self.process.pid):
            if time.monotonic() > deadline:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise Hang(f"workers {left} outlived their parent by {_ORPHANS_SECONDS} s")
            time.sleep(_ORPHANS_POLL_SECONDS)


def processes_of_group(group: int) -> list[int]:
    """The live processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found
