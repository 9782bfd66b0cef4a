"""docs/extending/combiner.md as a user follows it: a module of their own, outside the packages."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble import SavedPredictor
from tests.ensemble.builders import CLASS_NAMES, make_dataset, make_member, read_jpeg
from trainer.data.load import load_records

_ROOT = Path(__file__).parents[3]
_PAGE = _ROOT / "docs" / "extending" / "combiner.md"
# Runs with TensorFlow alone: neither the project nor the plugin is on its path.
_ELSEWHERE = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
jpegs = np.load(sys.argv[2], allow_pickle=True)
outputs = model.signatures["serving_default"](image_bytes=tf.constant(list(jpegs)))
assert not {"quadratic", "ensemble"} & set(sys.modules)
np.save(sys.argv[3], outputs["probabilities"].numpy())
"""


def _command(folder, *flags):
    return subprocess.run(
        [sys.executable, "-m", "ensemble.main", "--plugins=quadratic", *flags],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(_ROOT), "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs, a dataset, and the plugin that the page shows."""
    root = tmp_path_factory.mktemp("recipe")
    make_dataset(root / "leaves", {"fold0": 30, "fold1": 8, "test": 11})
    for seed in range(2):
        make_member(root / f"m{seed}", root / "leaves", seed=seed, noise=seed + 0.5)
    (code,) = re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    (root / "quadratic.py").write_text(code)
    return root


def test_combiner_of_a_plugin_is_offered_by_help(folder):
    assert "quadratic" in _command(folder, "--help").stdout


def test_combiner_of_a_plugin_is_fitted_reported_and_exported(folder):
    done = _command(
        folder,
        "--combine=quadratic",
        "--weights=greedy",
        "--calibrate",
        "--members=m0,m1",
        "--dataset=leaves",
        "--output_dir=out",
    )
    assert done.returncode == 0, done.stderr
    weights = json.loads((folder / "out" / "weights.json").read_text())
    assert weights["combine"] == "quadratic"
    assert "quadratic mean of probabilities" in (folder / "out" / "report.html").read_text()
    table = pd.read_csv(folder / "out" / "predictions.csv").set_index("image_id")
    records = load_records(str(folder / "leaves"), "test")
    expected = table.loc[list(records.ids), list(CLASS_NAMES)].to_numpy()
    jpegs = [read_jpeg(records, row) for row in range(len(records))]
    np.testing.assert_allclose(SavedPredictor(folder / "out").predict(jpegs), expected, atol=1e-5)
    np.save(folder / "jpegs.npy", np.array(jpegs, object), allow_pickle=True)
    subprocess.run(
        [sys.executable, "-I", "-c", _ELSEWHERE, "out/saved_model", "jpegs.npy", "answer.npy"],
        cwd=folder,
        check=True,
        env={"PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    np.testing.assert_allclose(np.load(folder / "answer.npy"), expected, atol=1e-5)
