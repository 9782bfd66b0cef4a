"""Loggers of a tiny training: what they are told, in which order, and what they can ask."""

from pathlib import Path

import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from tests.trainer import runs
from trainer.config import TrainConfig
from trainer.loggers import LoggedRun, Logger, Loggers, make_loggers
from trainer.loop import train_and_evaluate


class Told(Logger):
    """Keeps everything; asks to stop at the first evaluation after `stop_at` steps."""

    def __init__(self, stop_at=None):
        self.calls, self._stop_at = [], stop_at

    def begin(self, run):
        self.calls.append(("begin", run.step, run.total_steps, run.flags["epochs"]))
        self._ask_to_stop = run.ask_to_stop

    def log(self, kind, step, values):
        self.calls.append((kind, step, values.get("log_loss", values.get("reason"))))
        if kind == "eval" and self._stop_at is not None and step >= self._stop_at:
            self._ask_to_stop("it has seen enough")

    def back_to(self, step):
        self.calls.append(("back_to", step))

    def flush(self):
        self.calls.append(("flush",))

    def end(self, record):
        self.calls.append(("end", record and record.scores["log_loss"]))


@pytest.fixture(scope="module")
def stopped(tiny_dataset, tiny_backbone, tmp_path_factory):
    """A training that a logger stopped at its first evaluation, and one that went on with it."""
    run_dir = tmp_path_factory.mktemp("stopped") / "run"
    config = runs.config(tiny_dataset, tiny_backbone, run_dir, loggers=())
    first, second = Told(stop_at=1), Told()
    statuses = [train_and_evaluate(config, loggers=[one]) for one in (first, second)]
    return config, statuses, first.calls, second.calls


def test_logger_that_asks_to_stop_stops_the_training_which_can_go_on(stopped):
    _, statuses, first, second = stopped
    assert statuses == [75, 0]
    assert first[0] == ("begin", 0, 18, 4.0) and second[0] == ("begin", 9, 18, 4.0)
    assert [call[1] for call in first if call[0] == "train"] == [3, 6, 9]
    assert [call[1] for call in second if call[0] == "train"] == [12, 15, 18]
    assert ("event", 9, "it has seen enough") in first


def test_logger_has_one_end_with_the_record_of_a_finished_run_alone(stopped):
    _, _, first, second = stopped
    assert first[-1] == ("end", None) and second[-1][0] == "end"
    scored = [call[2] for call in [*first, *second] if call[0] == "eval"]
    assert second[-1][1] == pytest.approx(min(scored))
    assert [call[0] for call in [*first, *second]].count("end") == 2


def test_logger_is_flushed_after_what_it_was_told_last(stopped):
    for calls in stopped[2:]:
        names = [call[0] for call in calls]
        assert names[-2:] == ["flush", "end"]


def test_training_without_the_logger_of_tensorboard_has_its_metrics_all_the_same(stopped):
    config = stopped[0]
    lines = runs.outcome(config.run_dir)["metrics"]
    assert [line["step"] for line in lines if line["kind"] == "eval"] == [9, 18]
    tags = {
        value.tag
        for file in (Path(config.run_dir) / "tensorboard").glob("*tfevents*")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert not {tag for tag in tags if tag.startswith(("train/", "eval/"))}


def test_loggers_of_a_member_that_cannot_begin_end_those_that_have_begun():
    class Broken(Told):
        def begin(self, run):
            raise OrchardError("no server")

    fine, broken, late = Told(), Broken(), Told()
    loggers = Loggers([fine, broken, late])
    with pytest.raises(OrchardError, match="no server"):
        loggers.begin(LoggedRun("run", {"epochs": 1}, 0, 1, print))
    loggers.end(None)
    loggers.end(None)
    assert [call[0] for call in fine.calls] == ["begin", "end"]
    assert broken.calls == late.calls == []


def test_make_loggers_of_a_worker_that_is_not_the_first_has_none(tmp_path):
    config = runs.config("data", "mobilenet", tmp_path)
    told = Told()
    make_loggers(config, [told], is_chief=False).flush()
    assert told.calls == []


def test_config_of_a_logger_that_is_not_here_is_read_without_it(tmp_path):
    values = runs.config("data", "mobilenet", tmp_path).to_json()
    assert values["loggers"] == ("tensorboard",)
    read = TrainConfig.from_json({**values, "loggers": ["theirs", "tensorboard"]})
    assert read.loggers == ("tensorboard",)


@pytest.mark.parametrize(
    ("loggers", "message"),
    [
        (("tensorbord",), "'tensorbord' is no logger; choose from mlflow, tensorboard"),
        (("tensorboard", "tensorboard"), "name each of them once"),
    ],
)
def test_config_of_impossible_loggers_is_refused(tmp_path, loggers, message):
    with pytest.raises(OrchardError, match=message):
        runs.config("data", "mobilenet", tmp_path, loggers=loggers)
