"""What must import without TensorFlow: workers, plain functions of arrays, the ground."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
# All modules of these, but for commands, whose flags exclude each other in one process.
_PACKAGES = ("orchard", "data_prep", "ensemble.combine")
_COMMANDS = ("data_prep.main", "data_prep.verify")
# These start in seconds only because TFDS, too, is imported later.
_WITHOUT_TFDS = (
    "data_prep.config",
    "data_prep.pipeline",
    "data_prep.shard",
    "ensemble.config",
    "ensemble.fitting.held_out",
    "ensemble.fitting.trials",
    "ensemble.fitting.weightings.stack",
    "ensemble.members.runs",
    "ensemble.scoring.scoreboard",
    "trainer.comparison.hparams",
    "trainer.comparison.page",
    "trainer.config",
    "trainer.data.order",
    "trainer.data.records",
    "trainer.evaluation.metrics",
    "trainer.optim.schedules",
)
_IMPORT_ALL = """
import importlib, pkgutil, sys
for package in map(importlib.import_module, sys.argv[1].split(",")):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        name = module.name
        if name in sys.argv[2].split(","):
            continue
        importlib.import_module(name)
        heavy = {"tensorflow", "keras"} & set(sys.modules)
        if heavy:
            sys.exit(f"{name} imports {sorted(heavy)}")
"""
_IMPORT_EACH = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    heavy = {"tensorflow", "keras", "tensorflow_datasets"} & set(sys.modules)
    if heavy:
        sys.exit(f"{name} imports {sorted(heavy)}")
"""


@pytest.mark.parametrize(
    "program",
    [
        (_IMPORT_ALL, ",".join(_PACKAGES), ",".join(_COMMANDS)),
        (_IMPORT_EACH, *_WITHOUT_TFDS),
    ],
    ids=["packages", "modules"],
)
def test_light_modules_when_imported_load_no_tensorflow(program):
    done = subprocess.run(
        [sys.executable, "-c", *program], cwd=_ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
