import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu import Loop, Row

_ROOT = Path(__file__).resolve().parents[2]


def test_table_has_rates_ratios_to_keras_fit_and_what_was_not_measured():
    rows = [
        Row("resnet50", Loop(gpu.FIT, "tf32", "auto"), 20.0, (2.0, 4.0, 2.0), 640),
        Row("resnet50", Loop(gpu.PJRT, "tf32", "yes"), 31.0, (1.0, 1.0, 2.0), 640),
        Row("resnet50", Loop(gpu.PJRT, "float32", "yes"), problem="not measured: time was up"),
    ]
    lines = gpu.table("H100, batch 64, 224 px", rows).splitlines()
    assert lines[-3:] == [
        "| resnet50 | tf32 | Keras fit | auto | 320 (160 to 320) | 1.00 (1.00 to 1.00) | 20 |",
        "| resnet50 | tf32 | pjrt | yes | 640 (320 to 640) | 2.00 (1.00 to 4.00) | 31 |",
        "| resnet50 | float32 | pjrt | yes | not measured: time was up | | |",
    ]


@pytest.mark.slow
def test_gpu_script_in_its_smoke_form_measures_every_loop_on_a_cpu(tmp_path):
    environment = {
        **os.environ,
        "GPU_SH_SMOKE": "1",
        "GPU_SH_OUTPUT": str(tmp_path),
        "PYTHON": sys.executable,
    }
    subprocess.run([_ROOT / "benchmarks" / "gpu.sh"], check=True, env=environment)
    values = json.loads((tmp_path / "table.json").read_text())
    assert [row["loop"]["runtime"] for row in values["rows"]] == [
        gpu.FIT,
        gpu.TENSORFLOW,
        gpu.PJRT,
        gpu.TENSORFLOW,
    ]
    assert all(row["round_seconds"] and not row["problem"] for row in values["rows"])
    assert "| mobilenet | float32 | pjrt | yes |" in (tmp_path / "table.md").read_text()
