import json
from pathlib import Path

from tests.data_prep.builders import (
    run,
)


def test_dataset_files_have_paths_in_the_run_log_alone(given, tmp_path):
    directory, _ = run(tmp_path / "out", **given)
    log = json.loads(Path(directory, "run_log.json").read_text())
    assert log["config"]["csv"] == given["csv"]
    for file in Path(directory).iterdir():
        if file.name != "run_log.json":
            assert str(tmp_path).encode() not in file.read_bytes()
