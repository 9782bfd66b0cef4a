"""docs/extending/weighting.md as a user follows it: a module of their own, named as a plugin."""

import os
import re
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[4]
_PAGE = _ROOT / "docs" / "extending" / "weighting.md"
_PROGRAM = """
import numpy as np
from ensemble import EnsembleConfig
from ensemble.combine import COMBINERS
from ensemble.fitting import Sample, learn_weights, weighting_names
from orchard.formats import Task
config = EnsembleConfig(members=("a",), dataset="d", output_dir="o", weights="by_score")
assert config.needs_held_out
names = weighting_names(config.weights, config.combine)
generator = np.random.default_rng(0)
targets = np.eye(3)[generator.integers(3, size=300)]
logits = np.stack([3 * targets + generator.normal(size=(300, 3)) * n for n in (1, 30, 30)])
combiner = COMBINERS["logits"](Task.SINGLE_LABEL)
sample = Sample(lambda asked: logits, targets, combiner, "accuracy", 0, np.arange(300))
learned = learn_weights(sample, names)
print([trial.name for trial in learned.trials], learned.chosen.name, learned.weights.note)
assert learned.weights.shares[0] > 0.9
"""


def test_weighting_of_a_plugin_is_learned_and_guarded(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    (tmp_path / "by_score.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{_ROOT}:{tmp_path}",
            "ORCHARD_PLUGINS": "by_score",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['uniform', 'by_score'] by_score the better alone, the more\n"
