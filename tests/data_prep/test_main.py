import subprocess
import sys

from tests.data_prep.builders import write_csv
from tests.records import start_up_lines


def command(data_dir, *more, **settings):
    flags = {"name": "clothes", "version": "1.0.0", "workers": 2, "data_dir": data_dir, **settings}
    return [
        sys.executable,
        "-m",
        "data_prep.main",
        *(f"--{name}={value}" for name, value in flags.items()),
        *more,
    ]


def test_command_with_a_bad_row_ends_in_one_line_and_a_status(given, tmp_path):
    given["csv"] = write_csv(given["csv"], [("image_id", "label"), ("m", "bag")])
    result = subprocess.run(
        command(tmp_path / "out", **given), capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr and start_up_lines(result.stderr) == []
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: 1 bad row (1 missing image); the first: train.csv, row 2, 'm'")
