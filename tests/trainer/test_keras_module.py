"""A user's Keras configuration, which is for other work, decides nothing here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchard import storage
from tests.trainer import runs

_ROOT = Path(__file__).parents[2]
_THEIRS = {
    "floatx": "float16",
    "epsilon": 0.5,
    "image_data_format": "channels_first",
    "backend": "torch",
}


@pytest.fixture
def their_environment(tmp_path):
    home = tmp_path / "keras_home"
    home.mkdir()
    (home / "keras.json").write_text(json.dumps(_THEIRS))
    return {"KERAS_HOME": str(home), "KERAS_BACKEND": "jax"}


# As in a command: half the time of TensorFlow's import.
_QUICK = "from orchard import tensorflow_start; tensorflow_start.prepare()\n"


def _python(program, environment):
    return subprocess.run(
        [sys.executable, "-c", _QUICK + program],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env=os.environ | environment,
    )


def test_training_under_another_keras_configuration_has_the_same_scores(
    their_environment, tmp_path, tiny_dataset, tiny_backbone
):
    scores = []
    for name, environment in (("usual", {}), ("theirs", their_environment)):
        config = runs.config(
            tiny_dataset, tiny_backbone, tmp_path / name, epochs=1, deterministic=True
        )
        process = runs.start(config, **environment)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        scores.append(storage.read_json(str(tmp_path / name / "run.json"))["scores"])
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    "module", ["trainer.loop", "trainer.tpu.compiler", "ensemble.pipeline", "ensemble.inference"]
)
def test_keras_of_any_entry_is_configured_by_us(module, their_environment):
    program = f"""
import importlib
names = importlib.import_module({module!r})
for name in getattr(names, "__all__", ()):
    getattr(names, name)
import trainer.keras_module, keras
config = keras.config
print(config.backend(), config.floatx(), config.image_data_format(), config.epsilon())
"""
    done = _python(program, their_environment)
    assert done.stdout.split() == ["tensorflow", "float32", "channels_last", "1e-07"], done


def test_keras_on_another_backend_before_us_is_refused_in_one_line():
    program = """
import keras
keras.config.backend = lambda: "jax"
import trainer.loop
"""
    done = _python(program, {})
    assert "OrchardError: Keras was imported before Orchard, on jax" in done.stderr


def test_keras_is_imported_in_one_place():
    found = [
        path.relative_to(_ROOT).as_posix()
        for package in ("orchard", "data_prep", "trainer", "ensemble")
        for path in sorted((_ROOT / package).rglob("*.py"))
        if path.name != "keras_module.py"
        and re.search(r'^(import|from) keras\b|lazy_import\("keras"\)', path.read_text(), re.M)
    ]
    assert found == []
