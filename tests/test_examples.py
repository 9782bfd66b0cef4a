"""The examples: flagfiles and demo name their commands and parse with their flags; loaders run.

A loader for which nothing is installed is skipped.
"""

import importlib.util
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


@pytest.mark.parametrize(("loader", "library"), [("grain", "grain"), ("pytorch", "torch")])
def test_loader_trains_on_array_record_files_without_tensorflow(loader, library, tmp_path):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    from tests.data_prep.builders import make_input, run

    given = make_input(tmp_path / "in", rows=40, test_rows=1)
    settings = {"eval_fraction": 0.3, "file_format": "array_record", "workers": 1}
    dataset, _ = run(tmp_path / "data", **given, **settings)
    command = [sys.executable, str(_ROOT / "examples" / f"{loader}_loader.py"), dataset]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("step 0: loss 1.")  # Near ln 3: nothing is known yet.
    assert re.fullmatch(r"\d+ of 12 right; TensorFlow imported: False", lines[-1])
