import csv
import subprocess
import sys

from orchard import storage
from orchard.formats import ComputeTime, TrainingCost
from tests.records import run_record
from tests.trainer import runs
from trainer import summary


def _write_run(folder, cost=None, **changes):
    config = runs.config("data", "mobilenet_v2", folder, **changes).to_json()
    record = run_record(config=config, architecture="mobilenet_v2", cost=cost).to_json()
    storage.write_json(str(folder / "run.json"), record)


def _summarize(*arguments):
    command = [sys.executable, "-m", "trainer.summary", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_command_over_two_runs_writes_a_row_for_each_and_the_flag_that_differs(tmp_path):
    _write_run(tmp_path / "a", dropout=0.1)
    _write_run(tmp_path / "deeper" / "b", dropout=0.5)
    done = _summarize(f"--runs_dir={tmp_path}")
    path = tmp_path / "summary.csv"
    head, *lines, last = done.stdout.splitlines()
    assert (done.returncode, last) == (0, f"2 runs: {path}"), done.stderr
    assert head.split()[0] == "run" and head.split()[-1] == "--dropout"
    assert [(line.split()[0], line.split()[-1]) for line in lines] == [
        ("a", "0.1000"),
        ("deeper/b", "0.5000"),
    ]
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [(row["run"], row["--dropout"]) for row in rows] == [("a", "0.1"), ("deeper/b", "0.5")]
    assert "--epochs" not in rows[0] and rows[0]["accuracy"] == "0.5" and rows[0]["roc_auc"] == ""


def test_collect_has_the_cost_and_leaves_unknown_ones_empty(tmp_path):
    time = ComputeTime(200.25, 390.5, 0.0, "cpu", 1)
    _write_run(tmp_path / "a", TrainingCost(time, 1000, 771_629_504, 5_000_000))
    _write_run(tmp_path / "b", TrainingCost(None, 1000, None, 5_000_000))
    _write_run(tmp_path / "c")
    names = ("wall_seconds", "cpu_seconds", "device_seconds", "gflops_per_image")
    rows = summary.collect(str(tmp_path))
    assert [tuple(row[name] for name in names) for row in rows] == [
        (200.25, 390.5, 0.0, 0.771629504),
        (None,) * 4,
        (None,) * 4,
    ]
    head, *lines = summary.table(rows).splitlines()
    assert "0.7716" in lines[0] and "200.2" in lines[0] and "0.7716" not in lines[1]


def test_command_with_output_writes_there(tmp_path):
    _write_run(tmp_path / "runs" / "a")
    output = tmp_path / "table.csv"
    assert _summarize(f"--runs_dir={tmp_path / 'runs'}", f"--output={output}").returncode == 0
    assert len(output.read_text().splitlines()) == 2


def test_command_over_a_folder_without_runs_is_refused_in_one_line(tmp_path):
    done = _summarize(f"--runs_dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr == f"error: --runs_dir={tmp_path} holds no finished run (no run.json)\n"
