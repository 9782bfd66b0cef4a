"""Ctrl-C while a command imports what it needs."""

import os
import signal
import subprocess
import sys

import pytest

from ensemble.console import COMMANDS

INTERRUPTED = b"interrupted: run the same command again to go on\n"
# In place of the libraries that commands import first: a Ctrl-C then.
_SLOW = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time\ntime.sleep(60)\n"


@pytest.fixture
def slow_libraries(tmp_path):
    for name in ("absl", "numpy"):
        (tmp_path / f"{name}.py").write_text(_SLOW)
    return {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.getcwd()}"}


def _run(environment, *arguments, handler=signal.SIG_DFL):
    return subprocess.run(
        [sys.executable, *arguments],
        stderr=subprocess.PIPE,
        env=environment,
        timeout=120,
        # A shell that runs the tests in the background has SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    )


@pytest.mark.parametrize("module", [module for module, _ in COMMANDS.values()])
def test_interrupt_while_a_module_is_imported_is_one_line(module, slow_libraries):
    done = _run(slow_libraries, "-m", module)
    assert (done.returncode, done.stderr) == (130, INTERRUPTED)


def test_interrupt_while_the_console_command_imports_is_one_line(slow_libraries):
    program = "import sys; from ensemble.console import main; sys.exit(main())"
    done = _run(slow_libraries, "-c", program, "train")
    assert (done.returncode, done.stderr) == (130, INTERRUPTED)


_TWICE = """
import os, signal
from orchard import ctrl_c
ctrl_c.end_at_once()
if {begins}:
    ctrl_c.begin()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    raise SystemExit(3)
raise SystemExit(4)
"""


@pytest.mark.parametrize(
    ("begins", "handler", "status"),
    [
        (False, signal.SIG_DFL, 130),
        (True, signal.SIG_DFL, 3),
        (False, signal.SIG_IGN, 4),
        (True, signal.SIG_IGN, 4),
    ],
    ids=["before it begins", "once it has begun", "ignored", "ignored once begun"],
)
def test_end_at_once_lasts_until_the_command_begins(begins, handler, status):
    done = _run(dict(os.environ), "-c", _TWICE.format(begins=begins), handler=handler)
    assert done.returncode == status
