"""The command as a user runs it; compiling needs the extra [preflight]."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import pytest

needs_compiler = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("jax", "libtpu")),
    reason="the extra [preflight] (jax, jaxlib, libtpu) is not installed",
)


def _preflight(*flags):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-m", "trainer.preflight", *flags],
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.fixture
def tiny_backbone(tmp_path):
    """A network whose step libtpu compiles in a second."""
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = keras.layers.Conv2D(16, 3, strides=2)(x)
    path = tmp_path / "backbone.keras"
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)).save(path)
    return str(path)


@needs_compiler
def test_preflight_registered_architecture_compiles_for_v5e(tmp_path):
    done = _preflight(
        "--architecture=vgg_small",
        "--weights=none",
        "--image_size=32",
        "--batch_size_per_replica=8",
        f"--compile_cache_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    assert "compiles for v5e, fits" in done.stdout
    assert "of 15.75 GiB" in done.stdout
    # Gradients are summed over the four chips, and BatchNorm's moments.
    assert "all-reduces" in done.stdout
    assert "runs on" not in done.stdout.lower()


@needs_compiler
@pytest.mark.slow
def test_preflight_batch_that_does_not_fit_is_refused_with_the_largest_that_does(
    tmp_path, tiny_backbone
):
    flags = (
        f"--architecture={tiny_backbone}",
        "--image_size=64",
        "--batch_size_per_replica=4000000",
        f"--compile_cache_dir={tmp_path / 'cache'}",
        "--json",
    )
    done = _preflight(*flags)
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)["topologies"]
    assert found["verdict"] == "too_large"
    largest = found["largest_batch_size_per_replica"]
    refusal = done.stderr.splitlines()[-1]
    assert refusal.startswith("error: --batch_size_per_replica=4000000 does not fit v5e:2x2")
    assert refusal.endswith(f"--batch_size_per_replica={largest}")
    # --find_batch comes to the same one from another start, partly by what is cached.
    done = _preflight(flags[0], flags[1], flags[3], "--json", "--find_batch")
    assert done.returncode == 0, done.stderr
    (again,) = json.loads(done.stdout)["topologies"]
    assert again["batch_size_per_replica"] == largest
    assert again["peak_bytes"] <= again["chip"]["available_hbm_bytes"]


@needs_compiler
def test_preflight_of_several_topologies_prints_one_table_with_a_plan(tmp_path, tiny_backbone):
    done = _preflight(
        f"--architecture={tiny_backbone}",
        "--image_size=64",
        "--batch_size=64",
        "--topology=v5e:2x2,v3:2x2",
        "--plan",
        "--epochs=10",
        "--num_records=64000",
        "--image_kb=20",
        "--decode_images_per_second=500",
        f"--compile_cache_dir={tmp_path / 'cache'}",
    )
    assert done.returncode == 0, done.stderr
    rows = {line[:25].strip(): line[25:].split() for line in done.stdout.splitlines()}
    # The global batch is shared by 4 chips there, by 8 cores here.
    assert rows["batch per replica"] == ["16", "8"]
    assert rows["steps"] == ["10,000", "10,000"]
    assert "plan (bound, not measured)" in done.stdout


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--batch_size=8"], "--architecture is required"),
        (["--architecture=mobilenet_v2", "--batch_size=-1"], "--batch_size=-1"),
        (
            ["--architecture=mobilenet_v2", "--batch_size=8", "--topology=v9:2x2"],
            "--topology=v9:2x2",
        ),
        (["--architecture=mobilenet_v2", "--batch_size=8", "--utilization=0"], "--utilization"),
    ],
)
def test_preflight_bad_flag_is_one_line(flags, complaint):
    done = _preflight(*flags)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert complaint in done.stderr
