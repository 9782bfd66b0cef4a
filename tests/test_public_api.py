"""What users import: light, lazy, and beside another program's flags."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import orchard

_ROOT = Path(__file__).parent.parent
_WITH_EXAMPLES = sorted(
    ".".join(file.relative_to(_ROOT).with_suffix("").parts)
    for package in ("orchard", "data_prep", "trainer", "ensemble")
    for file in (_ROOT / package).rglob("*.py")
    if ">>> " in file.read_text()
)

_IMPORTS = """
import sys
from data_prep import PrepConfig
from trainer import AugmentOptions, TrainConfig
from ensemble import EnsembleConfig
PrepConfig(csv="a.csv", images_dir="b", name="c", version="1.0.0", data_dir="d")
config = TrainConfig(dataset="d", run_dir="r", architecture="mobilenet", batch_size=8, epochs=5)
EnsembleConfig(members=("a",), dataset="d", output_dir="o", weights="2")
print(*(name for name in ("tensorflow", "keras") if name in sys.modules))
"""

# A program of somebody else's, which has flags of our names and has parsed them.
_OTHER_PROGRAM = """
import importlib, sys
from absl import flags, logging
names = {name for command in COMMANDS for options in importlib.import_module(command).OPTIONS
         for name in (flag.name for flag in options.flag_fields())}
for name in names:
    flags.DEFINE_string(name, "", "Somebody else's.")
flags.FLAGS(["program", "--dataset=theirs"])
before = logging.get_verbosity(), sys.excepthook
from data_prep import CsvImages, PrepConfig, prepare
from trainer import TrainConfig, train_and_evaluate
from ensemble import EnsembleConfig, SavedPredictor, run
assert before == (logging.get_verbosity(), sys.excepthook)
assert flags.FLAGS.dataset == "theirs"
packages = {module.partition(".")[0] for module in flags.FLAGS.flags_by_module_dict()}
assert not packages & {"orchard", "data_prep", "trainer", "ensemble"}, packages
"""
_COMMANDS = (
    "data_prep.main",
    "data_prep.verify",
    "trainer.main",
    "trainer.preflight",
    "trainer.preview",
    "trainer.summary",
    "ensemble.main",
    "ensemble.predict",
    "ensemble.soup",
    "ensemble.explain",
    "ensemble.label_issues",
    "ensemble.serve",
)


def run(program):
    return subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True
    )


def test_configs_import_and_build_without_tensorflow():
    done = run(_IMPORTS)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


def test_imports_in_a_program_with_parsed_flags_of_our_names_change_nothing():
    done = run(_OTHER_PROGRAM.replace("COMMANDS", repr(_COMMANDS)))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["data_prep", "ensemble", "trainer"])
def test_package_everything_in_all_is_there(package):
    module = importlib.import_module(package)
    assert module.__all__ == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
    with pytest.raises(AttributeError):
        _ = module.no_such_name


def test_version_setup_and_package_agree():
    done = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=_ROOT, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == orchard.__version__


@pytest.mark.parametrize("module", _WITH_EXAMPLES)
def test_doctest_examples_are_right(module):
    outcome = doctest.testmod(importlib.import_module(module))
    assert outcome.attempted > 0 and outcome.failed == 0


def test_python_api_example_goes_from_csv_to_a_prediction(tmp_path):
    program = f"from examples import python_api; python_api.main({str(tmp_path)!r}, epochs=0.1)"
    done = run(f"if __name__ == '__main__': exec({program!r})")
    assert done.returncode == 0, done.stderr
    *_, predictions, one = done.stdout.splitlines()
    assert predictions.endswith(f"predictions in {tmp_path}/ensemble/predictions.csv")
    assert one.startswith("test_0000.jpg: ")
