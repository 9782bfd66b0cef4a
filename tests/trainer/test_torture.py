"""Twenty kills at any moment, from before the first checkpoint to after the last one.

python -m pytest -m slow -rP tests/trainer/test_torture.py  # -rP shows where the kills fell.
"""

import os
import random
import subprocess
import time
from collections import Counter

import pytest

from tests.trainer import runs
from trainer.checkpoints import files

_KILLS = int(os.environ.get("ORCHARD_TORTURE_KILLS", "20"))


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_train_killed_at_any_moment_ends_bit_equal(
    tmp_path, tiny_dataset, tiny_backbone, precision
):
    def config(name):
        return runs.config(
            tiny_dataset,
            tiny_backbone,
            tmp_path / name,
            precision=precision,
            deterministic=True,
            ema_momentum=0.9,
            accumulation_steps=2,
            dropout=0.1,
            checkpoint_every_steps=2,
            epochs=6,
        )

    _, seconds = _run(config("once"))
    expected = runs.outcome(config("once").run_dir)
    total_steps = expected["progress"].step
    moments = random.Random(0)
    kills, finished, name = Counter(), 0, "killed0"
    while not (enough := _enough(kills)) or not finished:
        run_dir = config(name).run_dir
        moment = None if enough else _moment(moments, run_dir, total_steps, seconds)
        ended, _ = _run(config(name), moment)
        if ended:
            assert runs.differences(expected, runs.outcome(run_dir)) == []
            finished += 1
            name = f"killed{finished}"
        else:
            kills[_where(run_dir, total_steps)] += 1
    print(f"{precision}: {kills.total()} kills {dict(kills)}, {finished} identical runs")


def _moment(moments, run_dir, total_steps, seconds):
    """(step of the checkpoint to wait for, longest wait after it) of the next kill.

    By what has been done, not by the clock alone: on a busy machine every run would be killed
    before it did anything.
    """
    newer = max(files.steps(run_dir), default=-1) + 1
    step = moments.choice([None, newer, newer, total_steps])
    return step, moments.uniform(0, seconds / 4)


def _enough(kills):
    ends = kills["before the first checkpoint"] and kills["after the last"]
    return kills.total() >= _KILLS and ends


def _where(run_dir, total_steps):
    steps = files.steps(run_dir)
    if not steps:
        return "before the first checkpoint"
    return "after the last" if steps[-1] == total_steps else "in between"


def _run(config, moment=None):
    """Start the command, kill it at the moment; whether it ended by itself, and its seconds."""
    began = time.monotonic()
    process = runs.start(config)
    step, wait_seconds = moment or (None, None)
    while step is not None and max(files.steps(config.run_dir), default=-1) < step:
        if process.poll() is not None:
            break
        time.sleep(0.005)
    try:
        output, _ = process.communicate(timeout=wait_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return False, None
    assert process.returncode == 0, output
    return True, time.monotonic() - began
