import csv
import subprocess
import sys

from orchard import storage
from orchard.formats import ComputeTime, TrainingCost
from tests.records import run_record
from tests.trainer import runs
from tests.trainer.comparison.made_up import write_run
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


def test_command_writes_the_page_and_tensorboards_folder_where_it_is_asked_for(tmp_path):
    for name, noise in (("a", 0.5), ("b", 2.0)):
        write_run(tmp_path / "runs" / name, noise=noise)
    page, hparams = tmp_path / "page.html", tmp_path / "my hparams"
    done = _summarize(
        *(f"--runs_dir={tmp_path / 'runs'}", f"--compare={page}"),
        *("--metric=log_loss", f"--hparams={hparams}"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        f"comparison: {page}",
        f"HParams: tensorboard --logdir='{hparams}'",
    ]
    assert "The best of 2 is a: log_loss 0." in page.read_text()
    assert len(list(hparams.rglob("*tfevents*"))) == 3


def test_metric_without_a_page_is_refused(tmp_path):
    done = _summarize(f"--runs_dir={tmp_path}", "--metric=accuracy")
    assert done.returncode == 1 and "give --compare=FILE.html" in done.stderr
