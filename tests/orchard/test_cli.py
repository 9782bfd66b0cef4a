"""How commands begin and end, each in a process of its own."""

import os
import subprocess
import sys

import pytest

RUN = "from data_prep import cli; cli.run(lambda: {})"


def run(program, *options, arguments=(), **more):
    command = [sys.executable, *options, "-c", program, *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, timeout=100, **more)


@pytest.mark.parametrize("options", [(), ("-u",)])
def test_a_command_whose_output_nobody_reads_ends_quietly(options):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(RUN.format("print('a line')"), *options, stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == 141 and done.stderr == b""


def test_a_tilde_is_the_home_folder_in_every_flag_and_flagfile(tmp_path):
    (tmp_path / "recipe.flags").write_text("--runs=~/a,b,~/c\n")
    program = (
        "from absl import flags\nfrom data_prep import cli\n"
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


def test_what_is_no_flag_is_refused():
    done = run(RUN.format("print(1)"), arguments=["oops"], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"error: 'oops' is no flag; every flag is --name=value\n"


def test_a_broken_pipe_elsewhere_keeps_its_traceback():
    other = "(_ for _ in ()).throw(BrokenPipeError('another'))"
    done = run(RUN.format(other), stdout=subprocess.PIPE)
    assert done.returncode == 1 and b"BrokenPipeError: another" in done.stderr


def test_an_interrupt_during_the_imports_is_one_line():
    done = run("import orchard.cli; raise KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr == b"interrupted: run the same command again to go on\n"


def test_other_errors_during_the_imports_keep_their_traceback():
    done = run("import orchard.cli; raise ValueError('a defect')")
    assert done.returncode == 1 and b"ValueError: a defect" in done.stderr


def test_what_the_terminal_cannot_show_is_escaped():
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    program = RUN.format(r"print('\xfc \udcff')")
    done = run(program, env=environment, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\xfc \\udcff\n", b"")


def test_a_name_that_the_locale_lacks_is_one_line():
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = run(RUN.format(r"open('\xfc.jpg')"), env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith(rb"error: '\xfc.jpg' cannot be written in ascii (ordinal not")
    assert done.stderr.count(b"\n") == 1
