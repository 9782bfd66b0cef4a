"""A training from flags to export under jax's runtime, and across runtimes."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from orchard.errors import OrchardError
from orchard.formats import RunDir
from tests.trainer import runs
from trainer.checkpoints import files
from trainer.loop import train_and_evaluate
from trainer.runtime import connect
from trainer.training.progress import read_metrics

_EVERY_STEPS = 6


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_dataset, devices):
    """By runtime, the config of a finished run with all of its checkpoints."""
    folder = tmp_path_factory.mktemp("runtimes")
    backbone = runs.tiny_backbone(folder / "backbone.keras", dropout=0.0)

    def run(runtime):
        config = runs.config(
            tiny_dataset,
            backbone,
            folder / runtime,
            runtime=runtime,
            log_every_steps=1,
            checkpoint_every_steps=_EVERY_STEPS,
            keep_checkpoints=99,
            ema_momentum=0.9,
            learning_rate=0.003,
            profile_steps="2,3",
        )
        assert train_and_evaluate(config) == 0
        return config

    return {runtime: run(runtime) for runtime in ("tensorflow", "pjrt")}


def _losses(run_dir):
    return [line["loss"] for line in read_metrics(str(run_dir)) if line["kind"] == "train"]


@pytest.mark.parametrize(("first", "second"), [("tensorflow", "pjrt"), ("pjrt", "tensorflow")])
def test_train_begun_under_one_runtime_goes_on_under_the_other(first, second, trained, tmp_path):
    # What a run leaves that was killed after step 12.
    shutil.copytree(trained[first].run_dir, tmp_path / "run")
    config = runs.config(
        trained[first].dataset,
        trained[first].architecture,
        tmp_path / "run",
        **{
            name: getattr(trained[first], name)
            for name in ("log_every_steps", "checkpoint_every_steps", "ema_momentum")
        },
        keep_checkpoints=99,
        learning_rate=0.003,
        runtime=second,
    )
    run = RunDir(config.run_dir)
    for step in files.steps(config.run_dir):
        if step > 2 * _EVERY_STEPS:
            os.remove(os.path.join(run.checkpoints_dir, f"step-{step:09d}.npz"))
    os.remove(run.record_file)
    shutil.rmtree(run.saved_model_dir)

    assert train_and_evaluate(config) == 0
    np.testing.assert_allclose(
        _losses(config.run_dir), _losses(trained["tensorflow"].run_dir), rtol=1e-4
    )
    scores = [runs.outcome(c.run_dir)["progress"].evaluations for c in (config, trained[first])]
    for one, other in zip(*scores, strict=True):
        np.testing.assert_allclose(one["log_loss"], other["log_loss"], rtol=1e-3)
    ends = [files.load_latest_checkpoint(c.run_dir).arrays for c in (config, trained[first])]
    assert ends[0].keys() == ends[1].keys()
    assert all(ends[0][name].dtype == array.dtype for name, array in ends[1].items())


def test_profile_of_steps_under_either_runtime_is_written(trained):
    for config in trained.values():
        folder = os.path.join(RunDir(config.run_dir).tensorboard_dir, "plugins", "profile")
        (session,) = os.listdir(folder)
        found = os.listdir(os.path.join(folder, session))
        assert any(name.endswith(".xplane.pb") for name in found), found


def test_train_under_pjrt_killed_and_resumed_is_bit_equal(tmp_path, tiny_dataset, tiny_backbone):
    def config(name):
        return runs.config(
            tiny_dataset,
            tiny_backbone,
            tmp_path / name,
            runtime="pjrt",
            ema_momentum=0.9,
            dropout=0.1,
            checkpoint_every_steps=2,
            epochs=2,
        )

    # Its variables are given to the next step while the checkpoint of step 4 is written.
    processes = [runs.start(config("once")), runs.start(config("killed"), die_after_step="write:4")]
    outputs = [process.communicate(timeout=500)[0] for process in processes]
    assert processes[0].returncode == 0, outputs[0]
    assert processes[1].returncode == -9, outputs[1]
    assert "1 x cpu, PJRT (jax" in outputs[0]
    again = runs.start(config("killed"))
    output, _ = again.communicate(timeout=500)
    assert again.returncode == 0 and "going on after step 2" in output, output
    outcomes = [runs.outcome(config(name).run_dir) for name in ("once", "killed")]
    assert runs.differences(*outcomes) == []


def test_connect_by_itself_takes_tensorflow_and_leaves_jax_alone(tmp_path):
    code = (
        "import sys\n"
        "from orchard import tensorflow_start; tensorflow_start.prepare()\n"
        "from trainer.runtime import HardwareOptions, connect\n"
        "found = connect(HardwareOptions())\n"
        "print(found.describe(), 'trainer.runtime.pjrt' in sys.modules)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "1 x cpu, TensorFlow False", answer.stderr


def test_connect_pjrt_without_jax_is_one_line(tiny_dataset, tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(OrchardError, match=r"--runtime=pjrt needs jax.*'\.\[pjrt\]'") as raised:
        connect(runs.config(tiny_dataset, tiny_backbone, tmp_path, runtime="pjrt"))
    assert "\n" not in str(raised.value)


def test_connect_pjrt_with_more_replicas_than_devices_is_refused(
    tiny_dataset, tiny_backbone, tmp_path, devices
):
    with pytest.raises(OrchardError, match="--replicas=99"):
        connect(runs.config(tiny_dataset, tiny_backbone, tmp_path, runtime="pjrt", replicas=99))
