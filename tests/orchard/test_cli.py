"""How commands begin and end, each in a process of its own."""

import os
import subprocess
import sys

import pytest

RUN = "from orchard import cli; cli.run(lambda: {})"


def run(program, *options, arguments=(), **more):
    command = [sys.executable, *options, "-c", program, *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, timeout=100, **more)


@pytest.mark.parametrize("options", [(), ("-u",)])
def test_run_stdout_without_reader_exits_141_silently(options):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(RUN.format("print('a line')"), *options, stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == 141 and done.stderr == b""


def test_run_tilde_in_flags_and_flagfile_becomes_home_folder(tmp_path):
    (tmp_path / "recipe.flags").write_text("--runs=~/a,b,~/c\n")
    program = (
        "from absl import flags\nfrom orchard import cli\n"
        "one, two = flags.DEFINE_string('data', '', ''), flags.DEFINE_list('runs', [], '')\n"
        "cli.run(lambda: print(one.value, *two.value))"
    )
    done = run(
        program,
        arguments=["--data=~/d~/e", f"--flagfile={tmp_path}/recipe.flags"],
        env={**os.environ, "HOME": "/home/me"},
        stdout=subprocess.PIPE,
    )
    assert done.stdout == b"/home/me/d~/e /home/me/a b /home/me/c\n"


def test_run_positional_argument_is_refused_in_one_line():
    done = run(RUN.format("print(1)"), arguments=["oops"], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"error: 'oops' is not a flag; write every flag as --name=value\n"


def test_run_broken_pipe_of_another_file_keeps_traceback():
    other = "(_ for _ in ()).throw(BrokenPipeError('another'))"
    done = run(RUN.format(other), stdout=subprocess.PIPE)
    assert done.returncode == 1 and b"BrokenPipeError: another" in done.stderr


INTERRUPTED = b"interrupted: run the same command again to go on\n"


def test_run_interrupt_in_main_is_one_line():
    done = run(RUN.format("(_ for _ in ()).throw(KeyboardInterrupt())"))
    assert (done.returncode, done.stderr) == (130, INTERRUPTED)


AFTER_MAIN = """
from orchard import cli
try:
    cli.run(lambda: None)
except SystemExit:
    raise {} from None
"""


def test_run_interrupt_after_main_is_one_line():
    done = run(AFTER_MAIN.format("KeyboardInterrupt"))
    assert (done.returncode, done.stderr) == (130, INTERRUPTED)


def test_run_other_error_after_main_keeps_traceback():
    done = run(AFTER_MAIN.format("ValueError('a bug')"))
    assert done.returncode == 1 and b"ValueError: a bug" in done.stderr


def test_import_changes_no_global_and_needs_no_storage():
    program = """
import sys
from orchard import cli, html, progress
from tqdm import tqdm
assert sys.excepthook is sys.__excepthook__
assert tqdm.monitor_interval == 10
assert not [name for name in sys.modules if name.startswith(("orchard.storage.", "google.cloud"))]
"""
    done = run(program)
    assert done.returncode == 0, done.stderr


def test_run_stdout_of_a_notebook_is_left_alone():
    program = """
import io, sys
sys.stdout = io.StringIO()
from orchard import cli
try:
    cli.run(lambda: print("a line"))
finally:
    print(sys.stdout.getvalue(), file=sys.__stdout__, end="")
"""
    done = run(program, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a line\n", b"")


def test_run_characters_that_stdout_cannot_encode_are_escaped():
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    program = RUN.format(r"print('\xfc \udcff')")
    done = run(program, env=environment, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\xfc \\udcff\n", b"")


def test_run_file_name_that_the_locale_cannot_encode_is_one_line():
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = run(RUN.format(r"open('\xfc.jpg')"), env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith(rb"error: '\xfc.jpg' cannot be written in ascii (ordinal not")
    assert done.stderr.count(b"\n") == 1
