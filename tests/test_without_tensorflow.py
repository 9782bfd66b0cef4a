"""Commands where TensorFlow is not installed, as on a machine that only prepares data."""

import subprocess
import sys

import pytest

from tests.data_prep.builders import make_input

# No module named tensorflow can be found, as when it was never installed.
_WITHOUT_TENSORFLOW = """
import runpy, sys
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name == "tensorflow" else find_spec(name, *more)
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def run(module, *flags):
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT_TENSORFLOW, module, *map(str, flags)],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Prepared and verified without TensorFlow."""
    folder = tmp_path_factory.mktemp("input")
    given = make_input(folder / "in", rows=12)
    settings = {**given, "name": "clothes", "version": "1.0.0", "data_dir": folder}
    prepared = run("data_prep.main", *(f"--{name}={value}" for name, value in settings.items()))
    assert prepared.returncode == 0, prepared.stderr
    verified = run("data_prep.verify", f"--dataset={folder}/clothes/1.0.0")
    assert verified.returncode == 0, verified.stderr
    assert "undamaged" in verified.stdout
    return f"{folder}/clothes/1.0.0"


@pytest.mark.parametrize(
    ("module", "flags"),
    [
        ("trainer.main", ["--run_dir=OUT/run", "--architecture=mobilenet", "--batch_size=2"]),
        ("trainer.preview", ["--output=OUT/sheet.png"]),
    ],
)
def test_what_needs_tensorflow_says_in_one_line_how_to_install_it(dataset, module, flags, tmp_path):
    flags = [flag.replace("OUT", str(tmp_path)) for flag in flags]
    done = run(module, f"--dataset={dataset}", *flags)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: TensorFlow is not installed here; run")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
