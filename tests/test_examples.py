"""The flagfiles of `examples/recipes` name their command and parse with its flags; the demo too."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_FLAGFILES = sorted((_ROOT / "examples" / "recipes").glob("*.flags"))


def _command(flagfile):
    return re.search(rf"python -m (\S+) --flagfile=\S*{flagfile.name}\b", flagfile.read_text())


def test_every_flagfile_names_its_command():
    assert _FLAGFILES
    assert [file.name for file in _FLAGFILES if not _command(file)] == []


@pytest.mark.parametrize("command", ["data_prep.main", "trainer.main", "ensemble.main"])
def test_every_flagfile_is_made_of_its_commands_flags(command):
    files = [f"--flagfile={file}" for file in _FLAGFILES if _command(file)[1] == command]
    assert files
    done = subprocess.run(
        [sys.executable, "-m", command, *files, "--only_check_args"],
        capture_output=True,
        text=True,
        cwd=_ROOT,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("quick", [(), ("--quick",)], ids=["whole", "quick"])
def test_demo_is_made_of_commands_that_their_flags_allow(quick, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@" --only_check_args\n')
    python.chmod(0o755)
    done = subprocess.run(
        [str(_ROOT / "examples" / "demo.sh"), *quick, str(tmp_path / "out")],
        env=os.environ | {"PYTHON": str(python)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    commands = re.findall(r"^\$ python -m (\S+)", done.stdout, re.M)
    trainings = commands.count("trainer.main")
    assert trainings >= 2
    assert commands == ["data_prep.main", *["trainer.main"] * trainings, "ensemble.main"]
