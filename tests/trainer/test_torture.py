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
from trainer import checkpoint

_KILLS = int(os.environ.get("ORCHARD_TORTURE_KILLS", "20"))


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_no_kill_changes_a_bit(tmp_path, tiny_dataset, tiny_backbone, precision):
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

    began = time.monotonic()
    assert _run(config("once"), kill_after=None)
    seconds = time.monotonic() - began
    expected = runs.outcome(config("once").run_dir)
    # Moments are drawn over a whole run's length, start-up and export included.
    moments = random.Random(0)
    kills, finished, name = Counter(), 0, "killed0"
    while not (enough := _enough(kills)) or not finished:
        if _run(config(name), None if enough else moments.uniform(0, seconds)):
            assert runs.differences(expected, runs.outcome(config(name).run_dir)) == []
            finished += 1
            name = f"killed{finished}"
        else:
            kills[_where(config(name).run_dir, expected["progress"]["step"])] += 1
    print(f"{precision}: {kills.total()} kills {dict(kills)}, {finished} identical runs")


def _enough(kills):
    ends = kills["before the first checkpoint"] and kills["after the last"]
    return kills.total() >= _KILLS and ends


def _where(run_dir, total_steps):
    steps = checkpoint.steps(str(run_dir))
    if not steps:
        return "before the first checkpoint"
    return "after the last" if steps[-1] == total_steps else "in between"


def _run(config, kill_after):
    """Start the command; returns whether it ended by itself."""
    process = runs.start(config)
    try:
        output, _ = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return False
    assert process.returncode == 0, output
    return True
