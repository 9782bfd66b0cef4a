"""--plugins: a user's modules, in the command's process and in its workers."""

import os
import subprocess
import sys

import pytest

from orchard.errors import OrchardError
from orchard.plugins import import_plugins, use_plugins

# A command whose choices come from a registry, and which asks that in a worker, too.
PROGRAM = """
import multiprocessing
from dataclasses import dataclass

from orchard import cli, flags
from orchard.flags import Options, option
from orchard.registry import Registry

SHAPES = Registry("shape", package="shapes")

@dataclass(frozen=True, kw_only=True)
class Config(Options):
    shape: str = option("round", "Which.", choices=SHAPES)

def draw(name):
    return SHAPES[name]()

def main():
    name = flags.build(Config).shape
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(draw(name), pool.apply(draw, (name,)))

if __name__ == "__main__":
    from program import Config, main  # So that there is one registry.
    cli.run(main, Config)
"""
ROUND = """
from program import SHAPES

@SHAPES.register("round")
def draw():
    return "round"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "__init__.py").write_text("")
    (tmp_path / "shapes" / "round.py").write_text(ROUND)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "star.py").write_text(ROUND.replace("round", "star"))
    (tmp_path / "my.flags").write_text("--plugins=mine.star\n")
    return tmp_path


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "program", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "arguments", [("--plugins=mine.star",), ("--plugins", "mine.star"), ("--flagfile=my.flags",)]
)
def test_plugins_registered_member_is_a_choice_here_and_in_workers(folder, arguments):
    done = run(folder, *arguments, "--shape=star")
    assert done.stdout == "star star\n", done.stderr


def test_plugins_without_them_the_member_is_no_choice(folder):
    done = run(folder, "--shape=star")
    assert done.returncode == 1
    assert done.stderr == "error: --shape=star: choose one of round\n"


def test_use_plugins_module_that_fails_is_one_line(folder, monkeypatch):
    (folder / "broken.py").write_text("raise ValueError('two\\nlines')\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("ORCHARD_PLUGINS", "")
    with pytest.raises(
        OrchardError, match=r"--plugins=broken cannot be imported \(ValueError: two"
    ):
        use_plugins(["broken"])


def test_import_plugins_without_any_imports_nothing(monkeypatch):
    monkeypatch.delenv("ORCHARD_PLUGINS", raising=False)
    before = set(sys.modules)
    import_plugins()
    assert set(sys.modules) == before
