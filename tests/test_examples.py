"""The flagfiles of `examples/recipes`: each names its command, and parses with its flags."""

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
