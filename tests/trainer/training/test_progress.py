import json

import pytest

from trainer.training.progress import MetricsLog, Reporter, StepClock, read_metrics


def test_step_clock_first_steps_leave_compilation_out_of_the_rate():
    clock = StepClock()
    clock.add(1, seconds=60.0, wait_seconds=5.0, compiled=True)
    clock.add(10, seconds=2.0, wait_seconds=0.1, compiled=False)
    clock.add(10, seconds=2.0, wait_seconds=0.3, compiled=False)
    line = clock.take(batch_size=32, waits=True)
    assert line == {"images_per_second": 160.0, "data_wait_share": 0.1, "compile_seconds": 60.0}


def test_step_clock_each_line_has_the_rate_of_its_own_steps():
    clock = StepClock()
    clock.add(4, seconds=1.0, wait_seconds=0.0, compiled=False)
    clock.take(batch_size=8, waits=True)
    clock.add(2, seconds=1.0, wait_seconds=0.0, compiled=False)
    assert clock.take(batch_size=8, waits=False) == {"images_per_second": 16.0}
    assert clock.take(batch_size=8, waits=True) == {}


def test_metrics_log_resumed_drops_lines_of_repeated_steps(tmp_path):
    log = MetricsLog(str(tmp_path), 0)
    for step in (10, 20, 30):
        log.log("train", step, {"loss": 1.0})
    resumed = MetricsLog(str(tmp_path), 20)
    assert [line["step"] for line in read_metrics(str(tmp_path))] == [10, 20]
    resumed.log("train", 30, {"loss": 0.5})
    assert [line["step"] for line in read_metrics(str(tmp_path))] == [10, 20, 30]


@pytest.mark.parametrize("line", ["", "{", "12", "[]", '{"step": 20}', '{"kind": "train"}'])
def test_read_metrics_ends_before_a_line_that_is_none(line, tmp_path):
    first = '{"kind": "train", "step": 10}'
    (tmp_path / "metrics.jsonl").write_text(f"{first}\n{line}\n{first}\n")
    assert read_metrics(str(tmp_path)) == [json.loads(first)]


def test_reporter_back_to_drops_lines_of_repeated_steps(tmp_path):
    with Reporter(str(tmp_path), 0, 40, chief=True, bar=False) as report:
        for step in (10, 20, 30):
            report.write("train", step, loss=1.0)
        report.back_to(20)
        report.write("train", 30, loss=0.5)
    assert [line["step"] for line in read_metrics(str(tmp_path))] == [10, 20, 30]


def test_metrics_log_nan_is_null(tmp_path):
    MetricsLog(str(tmp_path), 0).log("eval", 5, {"roc_auc": float("nan"), "accuracy": 0.5})
    line = {"kind": "eval", "step": 5, "roc_auc": None, "accuracy": 0.5}
    assert (tmp_path / "metrics.jsonl").read_text() == json.dumps(line) + "\n"
    assert MetricsLog(str(tmp_path), 5)._lines == [line]


def test_read_metrics_cut_last_line_is_left_out(tmp_path):
    whole = json.dumps({"kind": "train", "step": 5})
    (tmp_path / "metrics.jsonl").write_text(f"{whole}\n{whole[:9]}")
    assert read_metrics(str(tmp_path)) == [{"kind": "train", "step": 5}]


@pytest.mark.parametrize("chief", [True, False])
def test_reporter_bar_of_the_chief_shows_loss_rate_and_wait(tmp_path, capsys, chief):
    with Reporter(str(tmp_path), 0, 40, chief=chief, bar=True) as report:
        report.advance(10, loss=2.0)
        report.write("train", 10, loss=2.0, images_per_second=123.4, data_wait_share=0.015)
        report.advance(10, loss=1.25)
        report.bar.refresh()
    shown = capsys.readouterr().err
    said = "20/40" in shown and "loss=1.2500, images/s=123.4, data wait=1.5%" in shown
    assert said == chief
    assert bool(read_metrics(str(tmp_path))) == chief
