"""`orchard COMMAND`: the same commands under one name."""

import importlib.util
import os
import subprocess
import sys

import pytest

from ensemble.console import COMMANDS, main
from tests.data_prep.builders import make_input


def orchard(*arguments):
    program = "import sys; from ensemble.console import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )


def test_commands_are_modules_that_there_are():
    for module, _ in COMMANDS.values():
        assert importlib.util.find_spec(module), module


def test_main_without_a_command_lists_all(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"python -m {module}" in shown for module, _ in COMMANDS.values())


def test_main_with_an_unknown_command_is_one_line(capsys):
    assert main(["trian"]) == 1
    assert capsys.readouterr().err == (
        "error: 'trian' is no command; use one of prep, verify, preview, preflight, train, "
        "summary, soup, ensemble, label_issues, explain, predict, serve\n"
    )


@pytest.mark.parametrize("name", ["prep", "predict"])
def test_main_with_help_shows_the_flags_of_the_command(name):
    done = orchard(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "--images_dir" in done.stdout


def test_prep_and_verify_do_what_their_modules_do(tmp_path):
    given = make_input(tmp_path)
    flags = {**given, "name": "plants", "version": "1.0.0", "data_dir": tmp_path / "out"}
    done = orchard("prep", "--workers=2", *(f"--{name}={value}" for name, value in flags.items()))
    assert done.returncode == 0, done.stderr
    done = orchard("verify", f"--dataset={tmp_path}/out/plants/1.0.0")
    assert done.returncode == 0, done.stderr
    assert "undamaged" in done.stdout


def test_prep_without_its_flags_exits_with_one_line():
    done = orchard("prep")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "required" in done.stderr
