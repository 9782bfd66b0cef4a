"""The recipe of docs/extending/architecture.md, from a folder outside the packages."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from orchard import storage

_RECIPE = Path(__file__).parents[3] / "docs" / "extending" / "architecture.md"
_SIDE_PX = 16


@pytest.fixture(scope="module")
def plugin_dir(tmp_path_factory):
    """A folder with the recipe's module."""
    code, _ = re.findall(r"^```python\n(.*?)^```$", _RECIPE.read_text(), re.M | re.S)
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "leaf_net.py").write_text(code)
    return folder


def _run(plugin_dir, *arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(plugin_dir), *sys.path])}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def _train(plugin_dir, dataset, run_dir, *arguments):
    return _run(
        plugin_dir,
        *("-m", "trainer.main", f"--dataset={dataset}", f"--run_dir={run_dir}", "--fold=0"),
        *(f"--image_size={_SIDE_PX}", "--batch_size=8", "--epochs=1", "--noprogress"),
        *("--nowatch_preemption", *arguments),
    )


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, plugin_dir, tiny_dataset):
    folder = tmp_path_factory.mktemp("run")
    arguments = ["--plugins=leaf_net", "--architecture=leaf_net", "--weights=none"]
    done = _train(plugin_dir, tiny_dataset, folder, *arguments)
    assert done.returncode == 0, done.stderr
    return folder


def test_recipe_trained_by_plugins_exports_a_model_that_needs_no_plugin(run_dir):
    assert storage.read_json(str(run_dir / "run.json"))["architecture"] == "leaf_net"
    loaded = tf.saved_model.load(str(run_dir / "saved_model"))
    images = np.zeros((2, _SIDE_PX, _SIDE_PX, 3), np.uint8)
    logits = loaded.signatures["images"](images=tf.constant(images))["logits"]
    assert logits.shape == (2, 3) and np.isfinite(logits).all()


def test_recipe_reloaded_as_keras_model_gives_the_logits_of_the_saved_model(run_dir, plugin_dir):
    code = (
        "import sys, keras, leaf_net, numpy as np, tensorflow as tf;"
        "images = np.arange(2 * 16 * 16 * 3).reshape(2, 16, 16, 3) % 256;"
        "network = keras.models.load_model(sys.argv[1] + '/model.keras');"
        "loaded = tf.saved_model.load(sys.argv[1] + '/saved_model').signatures['images'];"
        "logits = loaded(images=tf.constant(images, tf.uint8))['logits'];"
        "np.testing.assert_allclose(network(images.astype('float32')), logits, atol=1e-5)"
    )
    done = _run(plugin_dir, "-c", code, str(run_dir))
    assert done.returncode == 0, done.stderr


def test_recipe_without_its_plugin_is_refused_in_one_line(tmp_path, plugin_dir, tiny_dataset):
    done = _train(plugin_dir, tiny_dataset, tmp_path, "--architecture=leaf_net", "--weights=none")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: --architecture=leaf_net is unknown") and "--plugins" in last


def test_recipe_with_imagenet_weights_is_refused_before_it_is_built(
    tmp_path, plugin_dir, tiny_dataset
):
    arguments = ["--plugins=leaf_net", "--architecture=leaf_net"]
    done = _train(plugin_dir, tiny_dataset, tmp_path, *arguments)
    assert done.returncode == 1
    assert "leaf_net comes without ImageNet weights; use --weights=none" in done.stderr
