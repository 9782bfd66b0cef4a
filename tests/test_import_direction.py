"""data_prep <- trainer <- ensemble: nobody imports to the right, and light modules stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_FORBIDDEN = {
    "data_prep": {"trainer", "ensemble"},
    "trainer": {"ensemble"},
    "ensemble": set(),
}
# Worker processes, and everything that is a plain function of arrays: no TensorFlow there.
_WITHOUT_TENSORFLOW = (
    "data_prep.engine",
    "data_prep.labels",
    "data_prep.manifest",
    "data_prep.plan",
    "data_prep.scan",
    "data_prep.shard",
    "data_prep.storage",
    "trainer.architectures",
    "trainer.checkpoint",
    "trainer.config",
    "trainer.logits",
    "trainer.metrics",
    "trainer.order",
    "trainer.plan",
    "trainer.records",
    "trainer.schedules",
    "ensemble.bootstrap",
    "ensemble.calibrate",
    "ensemble.combine",
    "ensemble.config",
    "ensemble.fit",
    "ensemble.held_out",
    "ensemble.members",
    "ensemble.predictions",
    "ensemble.scoreboard",
    "ensemble.scores",
    "ensemble.weights",
)


def _imported_packages(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import; write the whole name"
            names.add(node.module)
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("package", _FORBIDDEN)
def test_imports_point_one_way(package):
    files = sorted((_ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        wrong = _imported_packages(file) & (_FORBIDDEN[package] | {"tests", "benchmarks"})
        assert not wrong, f"{file.relative_to(_ROOT)} imports {', '.join(sorted(wrong))}"


def test_light_modules_import_no_tensorflow():
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'tensorflow', 'keras', 'tensorflow_datasets'} & set(sys.modules)\n"
        "    sys.exit(f'{name} imports {sorted(heavy)}') if heavy else None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *_WITHOUT_TENSORFLOW],
        cwd=_ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
